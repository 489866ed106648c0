"""What growth rules have in common: capacity climbs a ladder during a run and never shrinks.

Gradual model restoration (FedGMR, arXiv 2512.05372; algorithms 3.7 (6)), for every method whose capacity is
one number: a density, a width, a depth. A rule is pure: it is told what there is to see after an aggregation
and answers with its next state, the capacities that it raises and the accuracies that it wants to see next.

    P_i      capacity of device i               `seen.capacity[i]`
    P_min    the floor under all of them        `state.floor`
    ladder   what capacities climb              `state.ladder`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from edgesim.errors import InputError, Problem
from edgesim.papers import Paper
from edgesim.registry import component
from edgesim.yaml_source import Positive, ascending

Cause = Literal["client", "floor", "schedule"]
"""Why a capacity grows: the device's own plateau, the floor that a global plateau raises, or a schedule."""

MARGIN = 0.01
"""A rung counts as the next one only where it is so much above a capacity (algorithms 3.7 (6))."""


Ladder = Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(ascending)]


class Grown(NamedTuple):
    """A device that is to get a larger capacity, and why."""

    device: int
    capacity: float
    cause: Cause


@dataclass(frozen=True, slots=True)
class Wanted:
    """Accuracies that a rule wants to see.

    Attributes:
        version: after which aggregation; the rule is not asked before.
        below: the last trained sub-model of each device with less capacity is to be evaluated, besides the
            average of all of them.
    """

    version: int
    below: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What there is to see after an aggregation.

    Attributes:
        version: that it made.
        time_s: virtual time.
        capacity: of each device, [devices]; not to be written to.
        average: accuracy of the plain weighted average of the last trained sub-models; null where unwanted.
        clients: accuracy of the last trained sub-model of each wanted device that has one.
    """

    version: int
    time_s: float
    capacity: NDArray[np.float64]
    average: float | None = None
    clients: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class State:
    """What a rule remembers.

    Attributes:
        ladder: capacities to climb, ascending, the largest that there is at its end.
        floor: P_min.
    """

    ladder: tuple[float, ...]
    floor: float

    def next_rung(self, capacity: float) -> float:
        """The next capacity on the ladder; at its end the last one."""
        return next((rung for rung in self.ladder if rung > capacity + MARGIN), self.ladder[-1])

    @property
    def top(self) -> float:
        """From here on there is nothing to climb."""
        return self.ladder[-1] - MARGIN

    def lifted(self, capacity: NDArray[np.float64], floor: float, cause: Cause) -> list[Grown]:
        """Every device that is below a floor, raised to it."""
        return [Grown(device, floor, cause) for device in np.flatnonzero(capacity < floor).tolist()]


@dataclass(frozen=True, slots=True)
class Step:
    """What a rule answers.

    Attributes:
        state: for its next step.
        grown: capacities that it raises, in this order; one that does not fit its device stays as it is.
        wanted: the accuracies of its next step; null where it needs none, and is asked after every version.
        finished: whether nothing is to be gained any more, so that the run may end.
    """

    state: Any
    grown: Sequence[Grown] = ()
    wanted: Wanted | None = None
    finished: bool = False


@component
class GrowthRule:
    """Decides when which capacities grow. Pure: equal states and sights give equal answers.

    Claims:
        grows: it may raise a capacity.
        needs_accuracy: it wants to see accuracies, so that `--timing-only` cannot follow it.
        depends_on_time: it looks at the clock.
        papers: behind the rule.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    grows: ClassVar[bool] = True
    needs_accuracy: ClassVar[bool] = False
    depends_on_time: ClassVar[bool] = False

    @property
    def split(self) -> Literal["validation", "test"]:
        """The samples that accuracies are of."""
        return "validation"

    def rungs(self, own: Sequence[float], capacity: NDArray[np.float64]) -> tuple[float, ...]:
        """The ladder of a run: what the devices begin with and the largest capacity (algorithms 3.7 (6)).

        Where all of them begin with the same, it is what the method can give.

        Args:
            own: capacities that the method can give, ascending.
            capacity: with which the devices begin, [devices].

        Raises:
            InputError: a ladder of the scenario goes beyond what the method can give.
        """
        classes = np.unique(capacity).tolist()
        return _completed(classes if len(classes) > 1 else own, own[-1])

    def begin(self, ladder: tuple[float, ...], capacity: NDArray[np.float64]) -> Step:
        """The first state.

        Args:
            ladder: from `rungs`.
            capacity: with which the devices begin, [devices].

        Raises:
            InputError: the rule does not suit them.
        """
        return Step(State(ladder=ladder, floor=float(capacity.min())))

    def step(self, state: Any, seen: Seen) -> Step:
        """What follows from an aggregation."""
        raise NotImplementedError


@component
class Climbing(GrowthRule):
    """A rule whose ladder a scenario may write.

    Attributes:
        ladder: capacities to climb, ascending; the largest of the method is always its end. Absent: see
            `rungs`.
    """

    ladder: Ladder | None = None

    def rungs(self, own: Sequence[float], capacity: NDArray[np.float64]) -> tuple[float, ...]:
        """The ladder of the scenario, else that of every rule."""
        if self.ladder is None:
            return super().rungs(own, capacity)
        if self.ladder[-1] > own[-1]:
            message = (
                f"goes up to {self.ladder[-1]:g}, and the largest capacity here is {own[-1]:g}; end there"
            )
            raise InputError(Problem(message, "growth.ladder"))
        return _completed(self.ladder, own[-1])


def _completed(rungs: Sequence[float], top: float) -> tuple[float, ...]:
    return tuple(sorted({*map(float, rungs), float(top)}))
