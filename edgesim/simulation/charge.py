"""Devices on batteries: there only while they have enough charge to begin with something."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.battery import Batteries
from edgesim.devices.cost import Phases
from edgesim.simulation.surroundings import Stays

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


_ROUNDING = 1e-9


class Charge:
    """The level of every battery of a run, and when devices are there by it.

    Between visits a level follows from the latest one, so that an idle device costs no event.

    Args:
        stays: when devices would be there if they were plugged in.
        batteries: what they run on.
    """

    always = False

    def __init__(self, stays: Stays, batteries: Batteries) -> None:
        self._stays = stays
        self._batteries = batteries
        self._level_j = batteries.initial_j.copy()
        self._since_s = np.zeros(len(self._level_j))
        self._there_s = np.zeros(len(self._level_j))

    @property
    def may_pause(self) -> bool:
        """Whether any device takes its work up again when it is back."""
        return self._stays.may_pause

    def present(self, devices: Numbers, at_s: float) -> NDArray[np.bool_]:
        """Whether each of these idle devices is there at this time."""
        return self._stays.present(devices, at_s) & self._batteries.is_ready(devices, self._at(devices, at_s))

    def next_s(self, devices: Numbers, at_s: float) -> Floats:
        """The earliest time from `at_s` on at which each of these idle devices is there, or infinity."""
        ready_s = self._batteries.ready_s(devices, self._at(devices, at_s), at_s)
        found = np.full(len(devices), inf)
        for row in np.flatnonzero(ready_s < inf):
            found[row] = self._stays.next_s(devices[row : row + 1], float(ready_s[row]))[0]
        return found

    def first_s(self, devices: Numbers, at_s: float) -> float:
        """The earliest time from `at_s` on at which any of these idle devices is there, or infinity."""
        return float(self.next_s(devices, at_s).min(initial=inf))

    def until_s(self, devices: Numbers, at_s: float) -> Floats:
        """When each of these present devices leaves, its battery left out of account."""
        return self._stays.until_s(devices, at_s)

    def pauses(self, devices: Numbers) -> NDArray[np.bool_]:
        """Whether these devices take their work up again when they are back; else it is lost."""
        return self._stays.pauses(devices)

    def empty_s(self, devices: Numbers, now_s: float, phases: Phases) -> Floats:
        """When visits that begin now and are not disturbed bring each device down to its reserve, [n]."""
        level_j, begin_s = self._at(devices, now_s), np.full(len(devices), now_s)
        found = np.full(len(devices), inf)
        for phase, (seconds, joules) in enumerate(phases.steps()):
            comes = phases.fits | (phase == 0)  # what does not fit is downloaded and nothing more
            power_w = np.divide(joules, seconds, out=np.zeros_like(joules), where=seconds > 0)
            hit_s = self._batteries.reserve_hit_s(devices, level_j, power_w)
            found = np.where(comes & (hit_s < seconds) & np.isinf(found), begin_s + hit_s, found)
            level_j = self._batteries.after_j(devices, level_j, joules, seconds)
            begin_s = begin_s + seconds
        return found

    def hit_s(self, device: int, power_w: float) -> float:
        """Seconds until a device that has just been charged for its work falls to its reserve."""
        one = np.array([device])
        return float(self._batteries.reserve_hit_s(one, self._level_j[one], np.array([power_w]))[0])

    def spend(self, device: int, begin_s: float, stages: Iterable[tuple[float, float]]) -> None:
        """A device that was idle until `begin_s` has worked: seconds and joules, stage by stage."""
        one = np.array([device])
        self._there_s[device] += self._idle_there_s(one, begin_s)[0]
        self._level_j[device] = self._at(one, begin_s)[0]
        for seconds, joules in stages:
            self._level_j[device] = self._batteries.after_j(one, self._level_j[one], joules, seconds)[0]
            self._there_s[device] += seconds
            begin_s += seconds
        self._since_s[device] = begin_s

    def present_s(self, devices: Numbers, start_s: float, end_s: float) -> Floats:
        """Seconds from the begin of the run to its end that each of these devices was there.

        Raises:
            ValueError: the interval is another one; levels before the latest visit are not remembered.
        """
        late = self._since_s[devices] > end_s * (1 + _ROUNDING)  # visits' seconds are sums of many
        if start_s != 0 or late.any():
            raise ValueError(f"presence is known from 0 to the end of the run, not from {start_s} to {end_s}")
        return self._there_s[devices] + self._idle_there_s(devices, end_s)

    def _at(self, devices: Numbers, at_s: float) -> Floats:
        """Levels of these devices, idle since they were last charged for work."""
        idle_s = at_s - self._since_s[devices]
        return self._batteries.idle_j(devices, self._level_j[devices], idle_s)

    def _idle_there_s(self, devices: Numbers, end_s: float) -> Floats:
        """Seconds that each of these devices was there since it last worked."""
        begin_s, level_j = self._since_s[devices], self._level_j[devices]
        ready_s = self._batteries.ready_s(devices, level_j, begin_s)
        over_s = begin_s + self._batteries.ready_until_s(devices, level_j)
        start_s = np.minimum(ready_s, end_s)
        return self._stays.present_s(devices, start_s, np.clip(over_s, start_s, max(end_s, 0.0)))
