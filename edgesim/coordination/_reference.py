"""The reference devices of a semi-asynchronous round."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Discriminator, Tag

from edgesim.registry import component
from edgesim.server.roster import Roster, Subset
from edgesim.yaml_source import Fraction

_ROUNDING = 1e-9  # 0.1 * 30 is a little more than 3 in floating point


@component
class OfProfile:
    """All devices of one profile or population."""

    profile: str


@component
class FastestShare:
    """The devices that would be fastest with the whole model, rounded up to whole devices."""

    fraction: Fraction


def _kind(given: Any) -> str:
    """Which of the ways this is; the tags stand in locations of errors and are no keys."""
    if isinstance(given, OfProfile) or (isinstance(given, dict) and "profile" in given):
        return "<profile>"
    return "<fraction>" if isinstance(given, dict | FastestShare) else "<fastest>"


Reference: TypeAlias = Annotated[
    Annotated[Literal["fastest"], Tag("<fastest>")]
    | Annotated[OfProfile, Tag("<profile>")]
    | Annotated[FastestShare, Tag("<fraction>")],
    Discriminator(_kind),
]
"""`fastest`: the fleet entry whose median device would be fastest with the whole model."""


@lru_cache(maxsize=4)
def reference_devices(roster: Roster, reference: Literal["fastest"] | OfProfile | FastestShare) -> Subset:
    """The reference devices of a fleet, which for a profile that it lacks are none."""
    if isinstance(reference, OfProfile):
        entries = [entry for entry, name in enumerate(roster.profiles) if name == reference.profile]
        return Subset.of(np.isin(roster.group, entries))
    if isinstance(reference, FastestShare):
        count = math.ceil(reference.fraction * len(roster) - _ROUNDING)
        mask = np.zeros(len(roster), dtype=bool)
        mask[np.argsort(roster.full_s, kind="stable")[:count]] = True
        return Subset.of(mask)
    present = np.unique(roster.group)
    medians_s = [np.median(roster.full_s[roster.group == entry]) for entry in present]
    return Subset.of(roster.group == present[np.argmin(medians_s)])
