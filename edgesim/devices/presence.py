"""When devices are there. It is looked up when asked for: an idle device costs neither event nor memory.

Windows of presence are half-open, [start, end), and such as touch one another are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from edgesim.devices._law import HORIZON_S, Bools, Ever, Law
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.outages import Outages, Without
from edgesim.devices.poisson import Floats, Numbers
from edgesim.errors import InputError
from edgesim.rng import Streams


@dataclass(frozen=True, eq=False)
class Presence:
    """When each device of a fleet is there.

    Times are seconds, one for all devices or one for each; answers are columns [n] over devices.

    Attributes:
        laws: per fleet entry.
        ends: per fleet entry, the number behind that of its last device.
        pausing: per fleet entry, whether work stands still while a device is away; else it is lost.
    """

    laws: tuple[Law, ...]
    ends: Numbers
    pausing: Bools

    @classmethod
    def draw(
        cls, groups: Sequence[FleetGroup], streams: Streams, absences: Sequence[Outages] | None = None
    ) -> Self:
        """The presence of a fleet of these entries.

        Args:
            groups: the entries.
            streams: those of the timing.
            absences: per entry, when all its devices are absent besides.

        Raises:
            InputError: the file of a trace is not there or wrong.
        """
        ends = np.cumsum([group.count for group in groups])
        laws = [
            _law(number, group, np.arange(end - group.count, end), streams)
            for number, (group, end) in enumerate(zip(groups, ends.tolist(), strict=True))
        ]
        if absences is not None:
            laws = [Without.of(law, outages) for law, outages in zip(laws, absences, strict=True)]
        pausing = np.array([group.availability.interrupted == "pause" for group in groups])
        return cls(tuple(laws), ends, pausing)

    @cached_property
    def always(self) -> bool:
        """Whether no device is ever absent."""
        return all(isinstance(law, Ever) for law in self.laws)

    @property
    def may_pause(self) -> bool:
        """Whether any device takes its work up again after an absence."""
        return bool(self.pausing.any())

    def present(self, devices: Numbers, at_s: float | Floats) -> Bools:
        """Whether each device is there at this time."""
        times_s, here = _times(at_s, devices), np.empty(len(devices), dtype=np.bool_)
        for law, mine in self._by_law(devices):
            here[mine] = law.present(devices[mine], times_s[mine])
        return here

    def until_s(self, devices: Numbers, at_s: float | Floats) -> Floats:
        """End of the window of presence that holds this time; the time itself of a device that is absent.

        Infinite where the window does not end within ten years.
        """
        if self.always:
            return np.full(len(devices), np.inf)
        return self._change_s(devices, _times(at_s, devices), present=True)

    def next_s(self, devices: Numbers, at_s: float | Floats) -> Floats:
        """Earliest time from this one on at which each device is there; infinite if not within ten years."""
        return self._change_s(devices, _times(at_s, devices), present=False)

    def first_s(self, devices: Numbers, at_s: float) -> float:
        """Earliest time from this one on at which any of the devices is there; infinite as for `next_s`."""
        from_s = np.full(len(devices), at_s, dtype=np.float64)
        first_s = np.inf
        while devices.size:
            here, steady_s = self._look(devices, from_s)
            first_s = min(first_s, from_s[here].min(initial=np.inf))
            rest = np.flatnonzero(~here & (steady_s < first_s) & (steady_s - at_s <= HORIZON_S))
            devices, from_s = devices[rest], steady_s[rest]
        return float(first_s)

    def present_s(self, devices: Numbers, start_s: float | Floats, end_s: float | Floats) -> Floats:
        """Seconds of presence from a time to a later one."""
        at_s, stop_s = _times(start_s, devices).copy(), _times(end_s, devices)
        total_s = np.zeros(len(devices))
        while (rest := np.flatnonzero(at_s < stop_s)).size:
            here, steady_s = self._look(devices[rest], at_s[rest])
            upto_s = np.minimum(steady_s, stop_s[rest])
            total_s[rest] += np.where(here, upto_s - at_s[rest], 0.0)
            at_s[rest] = upto_s
        return total_s

    def pauses(self, devices: ArrayLike) -> Bools:
        """Whether the work of these devices stands still while they are away; else it is lost."""
        if not self.may_pause:
            return np.zeros(np.shape(devices), dtype=bool)
        return np.asarray(self.pausing[self._entry(devices)])

    def _change_s(self, devices: Numbers, at_s: Floats, *, present: bool) -> Floats:
        """The first time from this one on at which a device is there or not in another way than `present`."""
        change_s = at_s.copy()
        rest = np.arange(len(devices))
        while rest.size:
            here, steady_s = self._look(devices[rest], change_s[rest])
            same = here == present
            rest, steady_s = rest[same], steady_s[same]
            change_s[rest] = np.where(steady_s - at_s[rest] > HORIZON_S, np.inf, steady_s)
            rest = rest[change_s[rest] < np.inf]
        return change_s

    def _look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """Whether each device is there, and a later time before which that does not change."""
        here, steady_s = np.empty(len(devices), dtype=np.bool_), np.empty(len(devices))
        for law, mine in self._by_law(devices):
            here[mine], steady_s[mine] = law.look(devices[mine], at_s[mine])
        return here, steady_s

    def _by_law(self, devices: Numbers) -> Iterator[tuple[Law, Numbers]]:
        """Each law, and the places of its devices among the given ones."""
        entry = self._entry(devices)
        for number, law in enumerate(self.laws):
            mine = np.flatnonzero(entry == number)
            if mine.size:
                yield law, mine

    def _entry(self, devices: ArrayLike) -> Numbers:
        return np.searchsorted(self.ends, devices, side="right")


def _law(number: int, group: FleetGroup, devices: Numbers, streams: Streams) -> Law:
    try:
        return group.availability.law(devices, streams)
    except InputError as error:
        prefix = f"fleet[{number}].availability."
        placed = [p if p.place else replace(p, path=prefix + p.path) for p in error.problems]
        raise InputError(*placed) from error


def _times(at_s: float | Floats, devices: Numbers) -> Floats:
    return np.broadcast_to(np.asarray(at_s, dtype=np.float64), devices.shape)
