"""Batteries as files write them: the capacity in a device profile, the use of it in a fleet entry."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgesim.devices._strict import Strict
from edgesim.devices.distribution import CONSTANT, Distribution, Multiplier
from edgesim.devices.origin import Figure
from edgesim.yaml_source import Joules, Watts


def _share(level: Distribution) -> Distribution:
    highest = float(level.quantile(1.0))
    if highest > 1:
        raise ValueError(f"is a share of the capacity and must never be above 1, but can be {highest:.3g}")
    return level


class BatteryProfile(Strict):
    """What a device profile says of its battery.

    Attributes:
        capacity: energy in the full battery.
    """

    capacity: Figure[Joules]


class BatteryUse(Strict):
    """What a fleet entry says of its batteries.

    Attributes:
        capacity: in place of the profile's.
        level: share of the capacity at the beginning; a distribution is drawn once per device.
        reserve: share of the capacity at which a device stops.
        charger: what the charger gives; none where absent.
    """

    capacity: Joules | None = None
    level: Annotated[Multiplier, AfterValidator(_share)] = Distribution(CONSTANT, (("value", 1.0),))
    reserve: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    charger: Watts = 0.0
