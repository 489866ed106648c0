"""The rates of all devices' own links, over time: constant or traced, times a visit's jitter.

Jitter factors are lognormal with median 1, one per visit and direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from edgesim.devices.fleet import Fleet
from edgesim.devices.network import Direction
from edgesim.devices.periodic_rate import PeriodicRate
from edgesim.devices.rate_trace import RateTrace
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_JITTER: Mapping[Direction, str] = {"down": "network-down-jitter", "up": "network-up-jitter"}


@dataclass(frozen=True, slots=True)
class Rates:
    """What each device's own link gives a visit, at any time; latencies are not in it."""

    fleet: Fleet
    streams: Streams

    def varies(self, direction: Direction, device: int) -> bool:
        """Whether the rate of a device's link changes over time."""
        return (direction, int(self.fleet.group[device])) in self.fleet.traces

    def transfer_s(
        self, direction: Direction, bits: Floats, devices: Whole, visits: Whole, start_s: Floats
    ) -> Floats:
        """Seconds that transfers take; where the rate is constant, bits / (rate x jitter).

        Args:
            direction: of the transfers.
            bits: size of each, [n].
            devices: whose each is, [n].
            visits: the how-manieth visit of its device it belongs to, [n].
            start_s: when each begins, [n].
        """
        jitter = self._jitter(direction, devices, visits)
        seconds = bits / (self._constant(direction)[devices] * jitter)
        groups = self.fleet.group[devices]
        for (traced, number), trace in self.fleet.traces.items():
            there = np.flatnonzero((groups == number) & (traced == direction))
            if there.size:
                without_jitter = bits[there] / jitter[there]
                seconds[there] = self._traced_s(trace, without_jitter, devices[there], start_s[there])
        return seconds

    def bits_between(
        self, direction: Direction, device: int, visit: int, start_s: float, end_s: float
    ) -> float:
        """What the link could carry for a visit in this time."""
        jitter = self._jitter_of(direction, device, visit)
        traced = self._traced(direction, device)
        if traced is None:
            return float(self._constant(direction)[device]) * jitter * (end_s - start_s)
        rate, offset_s = traced
        return rate.bits_between(start_s + offset_s, end_s + offset_s) * jitter

    def rate_at(self, direction: Direction, device: int, visit: int, at_s: float) -> tuple[float, float]:
        """The rate for a visit from this time on, and the time when it next may change; infinite if never."""
        jitter = self._jitter_of(direction, device, visit)
        traced = self._traced(direction, device)
        if traced is None:
            return float(self._constant(direction)[device]) * jitter, inf
        rate, offset_s = traced
        rate_bps, for_s = rate.rate_at(at_s + offset_s)
        return rate_bps * jitter, at_s + for_s

    def _traced_s(self, trace: RateTrace, bits: Floats, devices: Whole, start_s: Floats) -> Floats:
        which, offset_s = trace.of_devices(devices, self.streams)
        seconds = np.empty(len(bits))
        for number in np.unique(which):
            rows = which == number
            seconds[rows] = trace.read()[number].seconds(bits[rows], start_s[rows] + offset_s[rows])
        return seconds

    def _constant(self, direction: Direction) -> Floats:
        return self.fleet.downlink_bps if direction == "down" else self.fleet.uplink_bps

    def _traced(self, direction: Direction, device: int) -> tuple[PeriodicRate, float] | None:
        """A device's trace, and the time in it at the start of the run."""
        trace = self.fleet.traces.get((direction, int(self.fleet.group[device])))
        if trace is None:
            return None
        which, offset_s = trace.of_devices(np.array([device]), self.streams)
        return trace.read()[int(which[0])], float(offset_s[0])

    def _jitter_of(self, direction: Direction, device: int, visit: int) -> float:
        return float(self._jitter(direction, np.array([device]), np.array([visit]))[0])

    def _jitter(self, direction: Direction, devices: Whole, visits: Whole) -> Floats:
        sigma = self.fleet.network_jitter[devices]
        if not sigma.any():
            return np.ones(len(devices))
        factors: Floats = np.exp(sigma * ndtri(self.streams.uniform(_JITTER[direction], devices, visits)))
        return factors
