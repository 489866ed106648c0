"""Growth that is linear in rounds (a reading of FedGMR's rebuttal; algorithms 3.7 (6)).

P_min(k) = the highest rung that is at most P_min(0) + k per_round,  k: versions of the model
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgesim.growth._growth import Climbing, Seen, State, Step
from edgesim.papers import FEDGMR
from edgesim.registry import component
from edgesim.yaml_source import Positive

_ROUNDING = 1e-9  # ten times 0.1 is a little less than 1 in floating point


@dataclass(frozen=True, kw_only=True)
class Since(State):
    """The floor, and where it began."""

    first: float


@component
class Linear(Climbing):
    """The floor under all capacities rises at a constant rate, from rung to rung.

    Attributes:
        per_round: how much it rises with each version of the model, in units of capacity.
    """

    papers = (FEDGMR,)

    per_round: Positive

    def begin(self, ladder: tuple[float, ...], capacity: NDArray[np.float64]) -> Step:
        """The floor is the smallest capacity."""
        lowest = float(capacity.min())
        return Step(Since(ladder=ladder, floor=lowest, first=lowest))

    def step(self, state: Since, seen: Seen) -> Step:
        """Raise whoever is below the rung that is due."""
        due = (state.first + seen.version * self.per_round) * (1 + _ROUNDING)
        floor = max((rung for rung in state.ladder if rung <= due), default=state.floor)
        if floor <= state.floor:
            return Step(state)
        return Step(replace(state, floor=floor), state.lifted(seen.capacity, floor, "schedule"))
