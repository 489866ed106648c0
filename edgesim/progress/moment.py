"""A run as it is at one moment, small enough to be sent from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from edgesim.server.events import Outcome
from edgesim.server.plan import StopRule
from edgesim.simulation.visits import Activity

if TYPE_CHECKING:  # the engine comes with SimPy, which showing a run does not need
    from edgesim.simulation.engine import Simulation

_COUNTED_DEVICES = 10_000  # idle devices are asked one by one whether they are there

NOT_AT_WORK = "not at work"
"""What devices do in a fleet that is too large to say whether they wait or are absent."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A run at one moment.

    Attributes:
        time_s: virtual time.
        rounds: that are over.
        stop: when the run ends.
        ended: whether it has.
        devices: how many do what, the whole fleet together.
        outcomes: how many visits came to which outcome so far.
        sent: how many visits there were, those under way included.
        metrics: of the latest evaluation; none where nothing is trained.
    """

    time_s: float
    rounds: int
    stop: StopRule
    ended: bool
    devices: Mapping[str, int]
    outcomes: Mapping[str, int]
    sent: int
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, simulation: Simulation) -> Self:
        """What can be seen of a run now."""
        server = simulation.server
        return cls(
            time_s=simulation.shown_s,
            rounds=server.view.rounds,
            stop=server.stop,
            ended=simulation.reason is not None,
            devices=_devices(simulation),
            outcomes={str(outcome): count for outcome, count in server.outcomes.items()},
            sent=server.view.sent,
            metrics=server.metrics,
        )

    @property
    def share(self) -> float | None:
        """How much of the run is over, 0 to 1, by the nearest stop; null where only a target ends it."""
        stop, shares = self.stop, []
        if stop.rounds is not None:
            shares.append(self.rounds / stop.rounds)
        if stop.time_s is not None:
            shares.append(self.time_s / stop.time_s)
        if stop.dispatches is not None:
            shares.append(self.sent / stop.dispatches)
        return min(1.0, max(shares)) if shares else None

    @property
    def headline(self) -> str | None:
        """The metric that tells most: the target's, or the first one that there is."""
        known = [self.stop.target.metric] if self.stop.target else []
        return next(
            (name for name in (*known, "accuracy", "gap", *self.metrics) if name in self.metrics), None
        )


def _devices(simulation: Simulation) -> dict[str, int]:
    view, found = simulation.server.view, {str(activity): 0 for activity in Activity}
    found |= {str(activity): count for activity, count in simulation.activities().items()}
    if view.devices > _COUNTED_DEVICES:
        away = found.pop(Activity.WAITING) + found.pop(Activity.ABSENT)
        return found | {NOT_AT_WORK: away + view.idle}
    waiting = len(view.free())
    found[Activity.WAITING] += waiting
    found[Activity.ABSENT] += view.idle - waiting
    return found


def results(outcomes: Mapping[str, int]) -> str:
    """Visits by what became of them: `10 results, 3 failures (2 late, 1 dropped)`.

    What was not over when the run ended is neither.
    """
    done = outcomes.get(Outcome.AGGREGATED, 0)
    good = (Outcome.AGGREGATED, Outcome.UNFINISHED)
    failed = {name: count for name, count in outcomes.items() if count and name not in good}
    count = sum(failed.values())
    why = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in failed.items())
    text = f"{done} result{'' if done == 1 else 's'}, {count} failure{'' if count == 1 else 's'}"
    return f"{text} ({why})" if why else text
