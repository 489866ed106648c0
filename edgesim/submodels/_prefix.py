"""Cuts that keep the first units of every group, as HeteroFL and ordered dropout do (algorithms 1.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgesim.submodels._submodel import Cut

if TYPE_CHECKING:
    from edgesim.models._units import UnitLayout

_ROUNDING = 1e-9  # ceil(64 x 0.3) is ceil(19.2), but 0.1 x 3 is a little more than 0.3


def widths(layout: UnitLayout, rates: Sequence[float]) -> tuple[int, ...]:
    """ceil(units x rate) of each group, at least one (7b)."""
    sized = zip(layout.groups, rates, strict=True)
    return tuple(max(1, math.ceil(group.size * rate - _ROUNDING)) for group, rate in sized)


@lru_cache(maxsize=256)
def prefix_cut(layout: UnitLayout, rate: float) -> Cut:
    """The first ceil(units x rate) units of each group, at least one (7b); always the same object."""
    rates = (rate,) * len(layout.groups)
    return Cut(tuple(np.arange(count) for count in widths(layout, rates)), rates)
