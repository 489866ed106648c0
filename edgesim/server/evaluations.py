"""The evaluations of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgesim.learner import Learner
from edgesim.server.rows import Table


class Evaluations:
    """One row per evaluation; loss and accuracy are always columns, other metrics once they were measured."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._time_s: list[float] = []
        self._version: list[int] = []
        self._metrics: list[Mapping[str, float]] = []

    def evaluate(self, time_s: float, version: int) -> Mapping[str, float]:
        """Append a row and give its metrics; the learner is only asked where the version has changed."""
        known = self._version and self._version[-1] == version
        metrics = self._metrics[-1] if known else dict(self._learner.evaluate())
        self._time_s.append(time_s)
        self._version.append(version)
        self._metrics.append(metrics)
        return metrics

    @property
    def latest(self) -> Mapping[str, float]:
        """Metrics of the last row; empty before."""
        return self._metrics[-1] if self._metrics else {}

    def __len__(self) -> int:
        return len(self._version)

    def since(self, row: int) -> Iterator[tuple[float, int, Mapping[str, float]]]:
        """Virtual time, version and metrics of the rows from this one on."""
        return zip(self._time_s[row:], self._version[row:], self._metrics[row:], strict=True)

    def is_latest(self, time_s: float, version: int) -> bool:
        """Whether the last row is about this version at this time."""
        return (self._time_s[-1], self._version[-1]) == (time_s, version)

    def table(self) -> Table:
        """The table."""
        names = dict.fromkeys(("loss", "accuracy", *(name for row in self._metrics for name in row)))
        columns = {name: [row.get(name) for row in self._metrics] for name in names}
        return {"time_s": list(self._time_s), "version": list(self._version), **columns}
