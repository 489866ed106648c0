"""One file of comma-separated values, a line for each number."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesim.loggers._logger import Logger, Scalar, Write
from edgesim.registry import component


@component
class Csv(Logger):
    """A table, log/scalars.csv: virtual time, version, name and value of every number."""

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Write]:  # noqa: D102
        with (folder / "scalars.csv").open("w", encoding="utf-8", newline="", buffering=1) as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(Scalar._fields)
            yield lines.writerow
