"""How fast devices work over time: load that comes and goes, and throttling by their own heat.

Work is given in nominal seconds: what it takes at full speed. Load divides a device's speed, cell by cell of
time; throttling does as the work itself heats the device up. Both are integrated exactly. Heat is a number
from 0 to 1 that the caller keeps for each device: 0 at the start, and then a matter of how long it works and
idles, whatever its load. Where neither is given, seconds are the nominal ones bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesim.devices import _load
from edgesim.devices._heat import Heating
from edgesim.devices.fleet import Fleet
from edgesim.errors import RunFailed
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]
Cross: TypeAlias = Callable[[Devices, Floats, Floats], NDArray[np.bool_]]
"""Told of some devices' rows the edges of the next cells and the load in them; says which need no more."""

_FIRST_CELLS, _MOST_CELLS = 4, 1024  # looked at in one go
_LAST_CELL = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Speed:
    """The speed of a fleet's devices over time; every method takes and gives columns [n] over devices.

    Attributes:
        streams: that the load is drawn from.
        group: fleet entry of each device of the fleet.
        sigma: per entry, standard deviation of the log of the load; 0 without.
        cell_s: per entry, length of the cells in which the load is constant.
        slowdown: per entry, what throttling makes of the seconds in the end; 1 without.
        onset: per entry, the heat at which it begins.
        heating_s: per entry, the time constant of heating.
        cooling_s: per entry, the time constant of cooling.
    """

    streams: Streams
    group: NDArray[np.int32]
    sigma: Floats
    cell_s: Floats
    slowdown: Floats
    onset: Floats
    heating_s: Floats
    cooling_s: Floats

    @classmethod
    def of(cls, fleet: Fleet, streams: Streams) -> Self:
        """The speed of a fleet; the streams are those of its timing."""
        loads = [(load.sigma, load.correlation_time) if load else (0.0, 1.0) for load in fleet.loads]
        hot = [
            (each.slowdown, each.onset, each.heating_time, each.cooling_time)
            if each
            else (1.0, 0.0, 1.0, 1.0)
            for each in fleet.throttlings
        ]
        sigma, correlation_s = np.array(loads, dtype=np.float64).T
        cell_s = correlation_s / _load.CELLS_PER_CORRELATION_TIME
        return cls(streams, fleet.group, sigma, cell_s, *np.array(hot, dtype=np.float64).T)

    @property
    def varies(self) -> bool:
        """Whether any device ever works at another speed than its nominal one."""
        return bool(self.sigma.any() or (self.slowdown > 1).any())

    def seconds(
        self, nominal_s: Floats, devices: Devices, start_s: Floats, heat: Floats
    ) -> tuple[Floats, Floats]:
        """Seconds that work takes which is begun at these times, and the heat after it.

        Raises:
            RunFailed: the work spans more than a million cells of a device's load.
        """
        heating = self._heating(devices, heat)
        taken_s = heating.taken(nominal_s[:, np.newaxis])[:, 0]
        loaded = np.flatnonzero((self.sigma[self.group[devices]] > 0) & np.isfinite(nominal_s))
        wanted_s, done_s = nominal_s[loaded, np.newaxis], np.zeros((len(loaded), 1))

        def cross(rows: Devices, edges_s: Floats, load: Floats) -> NDArray[np.bool_]:
            hot = heating.rows(loaded[rows])
            work_s = hot.done(edges_s)
            gained_s = done_s[rows] + np.cumsum(np.diff(work_s) / load, axis=1)
            ends = gained_s >= wanted_s[rows]
            last = np.argmax(ends, axis=1)[:, np.newaxis]
            before_s = np.take_along_axis(np.hstack([done_s[rows], gained_s]), last, 1)
            left_s = (wanted_s[rows] - before_s) * np.take_along_axis(load, last, 1)
            found_s = hot.taken(np.take_along_axis(work_s, last, 1) + left_s)[:, 0]
            finished = ends[:, -1]
            taken_s[loaded[rows[finished]]] = found_s[finished]
            done_s[rows] = gained_s[:, -1:]
            return finished

        self._walk(devices[loaded], start_s[loaded], cross)
        return taken_s, self.warmed(heat, devices, taken_s)

    def nominal_done(self, devices: Devices, start_s: Floats, heat: Floats, elapsed_s: Floats) -> Floats:
        """Nominal seconds of work that are done so long after the start: the inverse of `seconds`.

        Raises:
            RunFailed: the time spans more than a million cells of a device's load.
        """
        heating = self._heating(devices, heat)
        loaded = np.flatnonzero(self.sigma[self.group[devices]] > 0)
        until_s = elapsed_s[:, np.newaxis]
        done_s = heating.done(until_s)
        done_s[loaded] = 0

        def cross(rows: Devices, edges_s: Floats, load: Floats) -> NDArray[np.bool_]:
            at = loaded[rows]
            work_s = heating.rows(at).done(np.minimum(edges_s, until_s[at]))
            done_s[at] += np.cumsum(np.diff(work_s) / load, axis=1)[:, -1:]
            finished: NDArray[np.bool_] = edges_s[:, -1] >= elapsed_s[at]
            return finished

        self._walk(devices[loaded], start_s[loaded], cross)
        return done_s[:, 0]

    def warmed(self, heat: Floats, devices: Devices, work_s: Floats) -> Floats:
        """Heat after so many seconds of work; unchanged where nothing is throttled."""
        entry = self.group[devices]
        warmed: Floats = heat - (1 - heat) * np.expm1(-work_s / self.heating_s[entry])
        return np.where(self.slowdown[entry] > 1, warmed, heat)

    def cooled(self, heat: Floats, devices: Devices, idle_s: Floats) -> Floats:
        """Heat after so many seconds without work; unchanged where nothing is throttled."""
        entry = self.group[devices]
        cooled: Floats = heat * np.exp(-idle_s / self.cooling_s[entry])
        return np.where(self.slowdown[entry] > 1, cooled, heat)

    def _heating(self, devices: Devices, heat: Floats) -> Heating:
        entry = self.group[devices]
        return Heating.begin(self.slowdown[entry], self.onset[entry], self.heating_s[entry], heat)

    def _walk(self, devices: Devices, start_s: Floats, cross: Cross) -> None:
        """Cross cell after cell, from the one that each device is in, until each device has finished."""
        cell_s = self.cell_s[self.group[devices]]
        first = np.floor(start_s / cell_s + _load.phase(self.streams, devices)).astype(np.int64)
        rows = np.arange(len(devices))
        crossed, count = 0, _FIRST_CELLS
        while rows.size:
            if crossed > _LAST_CELL:
                raise RunFailed(_too_long(devices[rows[0]], cell_s[rows[0]]))
            here, at = devices[rows], first[rows] + crossed
            edges_s = self._edges_s(here, at, count, start_s[rows])
            if crossed == 0:
                edges_s[:, 0] = 0
            sigma = self.sigma[self.group[here]][:, np.newaxis]
            load = np.exp(sigma * _load.process(self.streams, here, at, count))
            rows = rows[~cross(rows, edges_s, load)]
            crossed, count = crossed + count, min(2 * count, _MOST_CELLS)

    def _edges_s(self, devices: Devices, first: Devices, count: int, start_s: Floats) -> Floats:
        """Where cells begin and end, [n, count + 1], in seconds since the start of the work."""
        cell_s, phase = self.cell_s[self.group[devices]], _load.phase(self.streams, devices)
        cells = first[:, np.newaxis] + np.arange(count + 1) - phase[:, np.newaxis]
        edges_s: Floats = cells * cell_s[:, np.newaxis] - start_s[:, np.newaxis]
        return edges_s


def _too_long(device: np.int64, cell_s: np.float64) -> str:
    return (
        f"device {device}: its work spans more than a million cells of {cell_s:g} s of its load; "
        "give its fleet entry a longer load.correlation_time, or less work to its visits"
    )
