"""When a run is evaluated and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesim.errors import RunFailed, did_you_mean
from edgesim.learner import falls


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """Evaluate at time 0 and at the end, and in between every so many rounds or seconds of virtual time."""

    every_rounds: int | None = None
    every_s: float | None = None

    def is_due(self, rounds: int) -> bool:
        """Whether an evaluation follows this many completed rounds."""
        return self.every_rounds is not None and rounds % self.every_rounds == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A value of a metric that the run is to reach; see `falls` for which way it counts."""

    metric: str
    value: float

    def is_reached(self, metrics: Mapping[str, float]) -> bool:
        """Whether an evaluation is at or beyond the target. Nothing is reached where nothing is measured.

        Raises:
            RunFailed: the evaluation has metrics, but not this one.
        """
        if not metrics:
            return False
        if self.metric not in metrics:
            hint = did_you_mean(self.metric, metrics)
            raise RunFailed(
                f'stop.target: no metric "{self.metric}" in this run{hint} (it measures {", ".join(metrics)})'
            )
        value = metrics[self.metric]
        return value <= self.value if falls(self.metric) else value >= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When the run ends: whichever comes first.

    Attributes:
        rounds: aggregated and abandoned rounds together.
        time_s: virtual seconds; what happens at this very instant still counts.
        dispatches: no more are sent; the run ends when those in flight have returned.
        target: the first evaluation at or beyond it ends the run.
    """

    rounds: int | None = None
    time_s: float | None = None
    dispatches: int | None = None
    target: Target | None = None
