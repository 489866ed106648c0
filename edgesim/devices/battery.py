"""Batteries: how long a device lasts, and when it may work again.

A battery counts only where a fleet entry asks for it (`battery: {}`); every other device is plugged in, as
phones that take part in federated learning usually are (Bonawitz et al. 2019). A device at or below its
reserve is absent. The charger, if there is one, is always connected: what it gives beyond
what the device draws is stored, up to the capacity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.errors import InputError, Problem
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]

MARGIN = 0.01
"""Share of its capacity that a device must have above its reserve to begin with anything.

Without it a device at its reserve would be sent out and be lost at the same instant, for ever.
"""

_ROUNDING = 1e-9  # of the level: a device that charged until it is ready must be found ready


@dataclass(frozen=True, slots=True, eq=False)
class Batteries:
    """The batteries of a fleet, as columns [devices]; the level of each is kept by the caller, in joules.

    A device on mains has infinite capacity and level, and no reserve. Arguments and answers are arrays [n],
    over the n devices that are named.

    Attributes:
        capacity_j: energy in the full battery.
        reserve_j: level at which a device stops.
        initial_j: level at the beginning.
        charger_w: what the charger gives.
        idle_w: what the device draws while it waits, below its reserve as well.
    """

    capacity_j: Floats
    reserve_j: Floats
    initial_j: Floats
    charger_w: Floats
    idle_w: Floats

    @classmethod
    def draw(
        cls, groups: Sequence[FleetGroup], catalogue: Catalogue, fleet: Fleet, streams: Streams
    ) -> Self | None:
        """The batteries of a fleet of these entries; null where all devices are on mains.

        Raises:
            InputError: a battery whose capacity, or a device on one whose power, is not known.
        """
        if all(group.battery is None for group in groups):
            return None
        problems: list[Problem] = []
        capacity_j, reserve_j = np.full(len(fleet), np.inf), np.zeros(len(fleet))
        initial_j, charger_w = np.full(len(fleet), np.inf), np.zeros(len(fleet))
        for number, group in enumerate(groups):
            use = group.battery
            if use is None:
                continue
            devices = np.flatnonzero(fleet.group == number)
            problems += _obstacles(number, group, catalogue, fleet, devices)
            capacity_j[devices] = _capacity_j(group, catalogue)
            reserve_j[devices] = use.reserve * capacity_j[devices]
            level = use.level.quantile(streams.uniform("battery-level", devices))
            initial_j[devices] = level * capacity_j[devices]
            charger_w[devices] = use.charger
        if problems:
            raise InputError(*problems)
        return cls(capacity_j, reserve_j, initial_j, charger_w, fleet.idle_w)

    def after_j(self, devices: Devices, level_j: Floats, spent_j: ArrayLike, seconds: ArrayLike) -> Floats:
        """Levels after so many joules were spent in so many seconds, with what the charger gave meanwhile.

        Within [0, capacity]. Exact where the power was constant: charge a visit phase by phase.
        """
        capacity_j = self.capacity_j[devices]
        moved_j = np.multiply(self.charger_w[devices], seconds) - spent_j
        level_j = np.clip(level_j + moved_j, 0.0, capacity_j)
        return np.where(np.isinf(capacity_j), np.inf, level_j)  # on mains the joules may be unknown

    def idle_j(self, devices: Devices, level_j: Floats, seconds: ArrayLike) -> Floats:
        """Levels after so many seconds without work."""
        return self.after_j(devices, level_j, np.multiply(self.idle_w[devices], seconds), seconds)

    def reserve_hit_s(self, devices: Devices, level_j: Floats, power_w: ArrayLike) -> Floats:
        """Seconds until devices that draw this power fall to their reserves; infinite for never."""
        net_w = np.subtract(power_w, self.charger_w[devices])
        above_j = np.maximum(level_j - self.reserve_j[devices], 0.0)
        return _seconds(above_j, net_w)

    def is_ready(self, devices: Devices, level_j: Floats) -> NDArray[np.bool_]:
        """Whether devices have enough to begin with something; a device on mains always has."""
        return np.asarray(level_j >= self._ready_j(devices) - _ROUNDING * level_j)

    def ready_s(self, devices: Devices, level_j: Floats, at_s: ArrayLike) -> Floats:
        """When devices that wait from now on are ready: at once, or when charged; infinite for never."""
        missing_j = np.maximum(self._ready_j(devices) - level_j, 0.0)
        waits_s = _seconds(missing_j, self.charger_w[devices] - self.idle_w[devices])
        return np.add(at_s, np.where(self.is_ready(devices, level_j), 0.0, waits_s))

    def ready_until_s(self, devices: Devices, level_j: Floats) -> Floats:
        """Seconds for which devices that wait stay ready, or will once charged; infinite for ever."""
        above_j = np.maximum(level_j - self._ready_j(devices), 0.0)
        return _seconds(above_j, self.idle_w[devices] - self.charger_w[devices])

    def _ready_j(self, devices: Devices) -> Floats:
        capacity_j = self.capacity_j[devices]
        margin_j = np.where(np.isinf(capacity_j), 0.0, MARGIN * capacity_j)
        return self.reserve_j[devices] + margin_j


def _seconds(energy_j: Floats, power_w: Floats) -> Floats:
    """How long so many joules take at this power; infinite where it is none or below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power_w > 0, energy_j / power_w, np.inf)


_POWERS = ("idle_w", "active_w", "radio_down_w", "radio_up_w", "radio_down_j_per_bit", "radio_up_j_per_bit")


def _capacity_j(group: FleetGroup, catalogue: Catalogue) -> float:
    """Of each battery of a fleet entry that has some; NaN where it is not known."""
    assert group.battery is not None
    if group.battery.capacity is not None:
        return group.battery.capacity
    owner = group.look_up(catalogue)
    known = owner.battery if isinstance(owner, DeviceProfile) else None
    return np.nan if known is None else known.capacity.value


def _obstacles(
    number: int, group: FleetGroup, catalogue: Catalogue, fleet: Fleet, devices: Devices
) -> Iterator[Problem]:
    """What a battery needs to know and nobody says."""
    path = f"fleet[{number}].battery"
    if np.isnan(_capacity_j(group, catalogue)):
        yield Problem(f"{group.device_type} says no capacity; add capacity: 15 Wh", path)
    unknown = [power for power in _POWERS if np.isnan(getattr(fleet, power)[devices]).any()]
    if unknown:
        yield Problem(
            f"needs the power of {group.device_type}, which lacks {', '.join(unknown)}; add power.idle, "
            "power.active or power.radio to the profile, or take a network with a radio",
            path,
        )
