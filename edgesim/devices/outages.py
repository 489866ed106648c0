"""Outages: windows of a fixed length that begin on schedule or at random, looked up when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from edgesim.devices._cycle import cycle_of
from edgesim.devices._law import HORIZON_S, Bools, Law
from edgesim.devices.poisson import Floats, Numbers, Poisson


class Starts(Protocol):
    """When outages begin; columns [n] over times."""

    def latest_s(self, at_s: Floats) -> Floats:
        """The latest start at or before each time; minus infinity where there is none."""
        ...

    def next_s(self, at_s: Floats) -> Floats:
        """The first start after each time; infinite where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Starts at these times, which are sorted."""

    times_s: tuple[float, ...]

    def latest_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        passed = np.searchsorted(self.times_s, at_s, side="right")
        return np.array((-np.inf, *self.times_s))[passed]

    def next_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        passed = np.searchsorted(self.times_s, at_s, side="right")
        return np.array((*self.times_s, np.inf))[passed]


@dataclass(frozen=True, slots=True)
class Regular:
    """Starts after every so many seconds, the first after as many."""

    every_s: float

    def latest_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        passed = cycle_of(at_s, 0.0, self.every_s)
        return np.where(passed >= 1, passed * self.every_s, -np.inf)

    def next_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        return (np.maximum(cycle_of(at_s, 0.0, self.every_s), 0) + 1) * self.every_s


@dataclass(frozen=True, slots=True)
class AtRandom:
    """Starts at the events of a Poisson process from time zero on.

    Attributes:
        events: the processes.
        number: which of them.
    """

    events: Poisson
    number: int

    def latest_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        latest_s = self.events.latest_s(self._numbers(at_s), at_s)
        return np.where(latest_s >= 0, latest_s, -np.inf)

    def next_s(self, at_s: Floats) -> Floats:
        """See `Starts`."""
        return self.events.next_s(self._numbers(at_s), np.maximum(at_s, 0.0))

    def _numbers(self, at_s: Floats) -> Numbers:
        return np.full(len(at_s), self.number)


@dataclass(frozen=True, slots=True)
class Outage:
    """Outages of one kind.

    Attributes:
        starts: when they begin.
        duration_s: how long each one lasts.
    """

    starts: Starts
    duration_s: float

    def end_s(self, at_s: Floats) -> Floats:
        """End of the outage that began last; in the past where there is none."""
        return self.starts.latest_s(at_s) + self.duration_s


@dataclass(frozen=True, slots=True)
class Outages:
    """All outages of one thing; such as overlap or touch are one. Windows are half-open, [start, end)."""

    kinds: tuple[Outage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def active(self, at_s: float | Floats) -> Bools:
        """Whether there is an outage at each time, in the shape of the times."""
        times_s = np.asarray(at_s, dtype=np.float64)
        return (self._end_s(times_s.ravel()) > times_s.ravel()).reshape(times_s.shape)

    def steady_s(self, at_s: Floats) -> Floats:
        """A later time before which nothing changes; infinite where nothing ever does. Columns [n]."""
        end_s = self._end_s(at_s)
        start_s = np.full(len(at_s), np.inf)
        for kind in self.kinds:
            start_s = np.minimum(start_s, kind.starts.next_s(at_s))
        return np.where(end_s > at_s, end_s, start_s)

    def change_s(self, at_s: float) -> float:
        """The next time after this one at which an outage begins or ends; infinite for not in ten years."""
        active, change_s = self.active(at_s), at_s
        while change_s - at_s <= HORIZON_S:
            change_s = self.steady_s(np.array([change_s])).item()
            if self.active(change_s) != active:
                return change_s
        return np.inf

    def _end_s(self, at_s: Floats) -> Floats:
        """The last end of the outages that are active; in the past where there is none."""
        end_s = np.full(len(at_s), -np.inf)
        for kind in self.kinds:
            end_s = np.maximum(end_s, kind.end_s(at_s))
        return end_s


@dataclass(frozen=True, slots=True)
class Without:
    """Presence under a law, but not during outages.

    Attributes:
        law: of presence.
        outages: during which all are absent.
    """

    law: Law
    outages: Outages

    @classmethod
    def of(cls, law: Law, outages: Outages) -> Self | Law:
        """The law itself where there are no outages."""
        return cls(law, outages) if outages else law

    def present(self, devices: Numbers, at_s: Floats) -> Bools:
        """Whether each device is there, and no outage is."""
        there = ~self.outages.active(at_s)
        there[there] = self.law.present(devices[there], at_s[there])
        return there

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """The same, and the next change of what decides it."""
        there, steady_s = ~self.outages.active(at_s), self.outages.steady_s(at_s)
        clear = np.flatnonzero(there)
        there[clear], law_s = self.law.look(devices[clear], at_s[clear])
        steady_s[clear] = np.where(there[clear], np.minimum(steady_s[clear], law_s), law_s)
        return there, steady_s
