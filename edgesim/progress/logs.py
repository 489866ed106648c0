"""What is written to the logs of a run, and which logs there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

from edgesim import yaml_source
from edgesim.errors import InputError, RunFailed
from edgesim.loggers._logger import Logger, Scalar, Write
from edgesim.registry import in_room
from edgesim.server.server import Server
from edgesim.yaml_source import Source

_OF_AGGREGATIONS = ("updates", "mean_staleness", "mean_density", "covered_fraction")


class _Given(BaseModel):
    log: list[Annotated[Logger, in_room("loggers", "logger")]]


def loggers(names: Sequence[str], beside: Path) -> list[Logger]:
    """Loggers by name, or by `module:Class`.

    Args:
        names: of `--log`.
        beside: folder of the scenario, where modules are found too.

    Raises:
        InputError: there is no such logger, or it cannot be used here.
    """
    source = Source("--log", {"log": list(dict.fromkeys(names))}, {})
    try:
        return yaml_source.validate(source, _Given, {"folder": beside}).log
    except InputError as error:
        raise InputError(*(replace(problem, path="") for problem in error.problems)) from error


Record = Callable[[Server], None]
"""Told of the server after each event; writes down what is new."""


@contextmanager
def recording(chosen: Sequence[Logger], folder: Path) -> Iterator[Record]:
    """Logs of a run that is about to begin, in this folder; nothing where none is chosen.

    Raises:
        RunFailed: they cannot be written.
    """
    if not chosen:
        yield lambda server: None  # noqa: ARG005
        return
    with ExitStack() as stack:
        with _writable(folder):
            folder.mkdir()
            logs = [stack.enter_context(logger.opened(folder)) for logger in chosen]
        recorder = _Recorder(logs)

        def look(server: Server) -> None:
            with _writable(folder):
                recorder.look(server)

        yield look


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFailed(f"{folder}: cannot be written: {error.strerror or error}") from error


class _Recorder:
    """Writes every evaluation and every aggregation once, and visits by outcome at the end of each round."""

    def __init__(self, logs: Sequence[Write]) -> None:
        self._logs = logs
        self._evaluations = 0
        self._aggregations = 0
        self._rounds = 0
        self._counts: dict[str, int] = {}

    def look(self, server: Server) -> None:
        """Write what has come since the last look."""
        if len(server.evaluations) > self._evaluations:
            self._evaluated(server)
        if len(server.aggregations) > self._aggregations:
            self._aggregated(server)
        if server.view.rounds > self._rounds:
            self._rounds = server.view.rounds
            self._count(server)

    def _evaluated(self, server: Server) -> None:
        for time_s, version, metrics in server.evaluations.since(self._evaluations):
            for name, value in metrics.items():
                self._write(time_s, version, f"evaluation/{name}", value)
        self._evaluations = len(server.evaluations)

    def _aggregated(self, server: Server) -> None:
        rows = server.aggregations
        for row in range(self._aggregations, len(rows)):
            for name in _OF_AGGREGATIONS:
                value = getattr(rows, name)[row]
                self._write(rows.time_s[row], rows.version[row], f"aggregation/{name}", value)
        self._aggregations = len(rows)

    def _count(self, server: Server) -> None:
        view = server.view
        for outcome, count in server.outcomes.items():
            name = f"visits/{outcome}"
            if name not in self._counts:
                self._write(0.0, 0, name, 0)  # axes that count from the first value then count from the begin
            if count != self._counts.get(name):
                self._counts[name] = count
                self._write(view.time_s, view.version, name, count)

    def _write(self, time_s: float, version: int, name: str, value: float) -> None:
        scalar = Scalar(time_s, version, name, value)
        for write in self._logs:
            write(scalar)
