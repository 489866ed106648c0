"""Logs that are written while a run goes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from edgesim.errors import InputError, RunFailed
from edgesim.loggers._logger import Logger, Scalar, Write
from edgesim.progress.logs import loggers, recording
from edgesim.results.directory import LOG
from edgesim.selection.all import All
from tests.commands import edgesim
from tests.fakes import FixedWorkload, computing, simulate

TINY = """\
name: tiny
model: {name: mlp, hidden: [8]}
dataset: digits
fleet:
  - {profile: jetson-orin-nano, count: 3}
submodel: full
coordination: {name: synchronous, clients_per_round: 2}
training: {batch_size: 100}
stop: {rounds: 3}
variants:
  one: {}
  other: {seed: 2}
"""

OWN = """\
from contextlib import contextmanager
from edgesim.loggers._logger import Logger
from edgesim.registry import component

@component
class Names(Logger):
    @contextmanager
    def opened(self, folder):
        with (folder / "names.txt").open("w") as file:
            yield lambda scalar: print(scalar.name, file=file)
"""


class Kept(Logger):
    """Keeps what it is told, and whether it was closed."""

    def __init__(self) -> None:
        self.scalars: list[Scalar] = []
        self.closed = False

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Write]:  # noqa: ARG002
        try:
            yield self.scalars.append
        finally:
            self.closed = True


def recorded(folder: Path) -> list[Scalar]:
    """Of two rounds, in the second of which one of three devices has too little memory."""
    kept = Kept()
    learner = FixedWorkload(metrics=lambda version: {"accuracy": 0.1 * version})
    with recording([kept], folder / LOG) as record:
        simulate(
            computing(1.0, 2.0),
            devices=2,
            selector=All(),
            learner=learner,
            rounds=2,
            progress=lambda simulation: record(simulation.server),
        )
    return kept.scalars


def test_evaluations_aggregations_and_visits_are_told_with_their_virtual_times(tmp_path: Path) -> None:
    assert recorded(tmp_path) == [
        (0.0, 0, "evaluation/accuracy", 0.0),
        (2.0, 1, "aggregation/updates", 2),
        (2.0, 1, "aggregation/mean_staleness", 0.0),
        (2.0, 1, "aggregation/mean_density", 1.0),
        (2.0, 1, "aggregation/covered_fraction", 1.0),
        (0.0, 0, "visits/aggregated", 0),
        (2.0, 1, "visits/aggregated", 2),
        (4.0, 2, "evaluation/accuracy", 0.2),
        (4.0, 2, "aggregation/updates", 2),
        (4.0, 2, "aggregation/mean_staleness", 0.0),
        (4.0, 2, "aggregation/mean_density", 1.0),
        (4.0, 2, "aggregation/covered_fraction", 1.0),
        (4.0, 2, "visits/aggregated", 4),
    ]


def test_logs_are_closed_also_where_the_run_fails(tmp_path: Path) -> None:
    kept = Kept()
    with pytest.raises(ZeroDivisionError), recording([kept], tmp_path / LOG):
        raise ZeroDivisionError
    assert kept.closed


def test_a_log_that_cannot_be_written_ends_the_run_with_its_place(tmp_path: Path) -> None:
    class Full(Kept):
        """A disk that has no room left."""

        @contextmanager
        def opened(self, folder: Path) -> Iterator[Write]:  # noqa: ARG002
            def write(scalar: Scalar) -> None:
                raise OSError(28, "No space left on device", scalar.name)

            yield write

    server = simulate(computing(1.0), devices=1).server
    with (
        pytest.raises(RunFailed, match="log: cannot be written: No space left on device"),
        recording([Full()], tmp_path / LOG) as record,
    ):
        record(server)


def test_a_logger_that_is_named_twice_writes_once(tmp_path: Path) -> None:
    assert len(loggers(["csv", "csv"], tmp_path)) == 1


def test_no_logs_leave_no_folder(tmp_path: Path) -> None:
    with recording([], tmp_path / LOG):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cvs", '--log: no logger "cvs"; did you mean "csv"?'),
        ("nowhere:Names", '--log: cannot import module "nowhere"'),
        ("json:JSONDecoder", "is no component"),
    ],
)
def test_a_logger_that_there_is_not_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        loggers([name], tmp_path)


def digests(folder: Path) -> dict[str, str]:
    """Of every file that has no host seconds in it, logs left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "summary.json" and LOG not in path.parts
    }


def test_a_run_is_the_same_with_logs_and_they_hold_what_its_tables_hold(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "names_of_scalars.py").write_text(OWN)
    plain = edgesim(tmp_path, "compare", "tiny.yaml", "--jobs", "1", "--out", "plain")
    logs = ("--log", "csv", "--log", "names_of_scalars:Names")
    logged = edgesim(tmp_path, "compare", "tiny.yaml", "--jobs", "1", "--out", "logged", *logs)
    assert (plain.returncode, logged.returncode) == (0, 0), logged.stderr
    assert digests(tmp_path / "plain") == digests(tmp_path / "logged")
    run = tmp_path / "logged" / "tiny" / "other-seed2"
    scalars = pd.read_csv(run / LOG / "scalars.csv").pivot(index="time_s", columns="name", values="value")
    evaluations = pd.read_parquet(run / "evaluations.parquet").set_index("time_s")
    assert scalars["evaluation/accuracy"].tolist() == evaluations["accuracy"].tolist()
    assert scalars.index.tolist() == evaluations.index.tolist()
    assert scalars["visits/aggregated"].tolist() == [0, 2, 4, 6]
    assert (run / LOG / "names.txt").read_text().startswith("evaluation/")
    again = edgesim(tmp_path, "run", "tiny.yaml", "--variant", "other", "--out", "logged", "--overwrite")
    assert again.returncode == 0
    assert not (run / LOG).exists()


def test_a_logger_that_there_is_not_ends_a_comparison_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    done = edgesim(tmp_path, "compare", "tiny.yaml", "--log", "tensorbord")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('--log: no logger "tensorbord"; did you mean "tensorboard"?')
    assert not (tmp_path / "runs").exists()
