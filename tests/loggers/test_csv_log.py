"""The log that is a table."""

from __future__ import annotations

from pathlib import Path

from edgesim.loggers._logger import Scalar
from edgesim.loggers.csv import Csv


def test_a_line_for_each_number_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Csv().opened(tmp_path) as write:
        write(Scalar(0.0, 0, "evaluation/accuracy", 0.1))
        write(Scalar(1 / 3, 1, "visits/late", 2))
        assert (tmp_path / "scalars.csv").read_text() == (
            "time_s,version,name,value\n0.0,0,evaluation/accuracy,0.1\n0.3333333333333333,1,visits/late,2\n"
        )
