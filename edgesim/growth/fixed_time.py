"""Growth at fixed virtual times: FedGMR's fixed-time trigger (arXiv 2512.05372; algorithms 3.7 (6)).

In the paper the floor climbs a rung at each of {0.2, 0.4, 0.6, 0.8} of the time that is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from edgesim.errors import InputError, Problem
from edgesim.growth._growth import Climbing, Seen, State, Step
from edgesim.papers import FEDGMR
from edgesim.registry import component
from edgesim.yaml_source import PositiveSeconds, ascending


@dataclass(frozen=True, kw_only=True)
class Passed(State):
    """The floor, and how many of the times have passed."""

    times: int = 0


@component
class FixedTime(Climbing):
    """The floor under all capacities climbs one rung at each of some times.

    It climbs with the first aggregation at or after the time: a capacity only matters when the next model is
    sent out.

    Attributes:
        at: the times, in seconds of virtual time.
    """

    papers = (FEDGMR,)
    depends_on_time: ClassVar[bool] = True

    at: Annotated[tuple[PositiveSeconds, ...], Field(min_length=1), AfterValidator(ascending)]

    def begin(self, ladder: tuple[float, ...], capacity: NDArray[np.float64]) -> Step:
        """The floor is the smallest capacity.

        Raises:
            InputError: there are more times than rungs above it.
        """
        state = Passed(ladder=ladder, floor=float(capacity.min()))
        above = sum(rung > state.floor for rung in ladder)
        if len(self.at) > above:
            rungs = ", ".join(f"{rung:g}" for rung in ladder)
            climb = f"is {above} rung" if above == 1 else f"are {above} rungs"
            message = (
                f"has {len(self.at)} times, and from {state.floor:g} there {climb} to climb"
                f" (ladder {rungs}); leave times out, or write a longer ladder"
            )
            raise InputError(Problem(message, "growth.at"))
        return Step(state)

    def step(self, state: Passed, seen: Seen) -> Step:
        """Climb a rung for each time that has passed since the last aggregation."""
        times = sum(time_s <= seen.time_s for time_s in self.at)
        if times == state.times:
            return Step(state)
        floor = state.floor
        for _ in range(times - state.times):
            floor = state.next_rung(floor)
        after = replace(state, floor=floor, times=times)
        return Step(after, state.lifted(seen.capacity, floor, "schedule"))
