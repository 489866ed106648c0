"""Jitter of visits: factors on rates and seconds, lognormal with median 1, drawn by device and visit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from edgesim.devices.fleet import Fleet
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

NO_JITTER: Floats = np.ones(1)
"""No jitter, whatever it is multiplied with."""

_BLOCK = 1024  # devices whose factors are worked out together; as costly as some thirty single ones
_WORTH = 16  # single ones of a block after which it is worked out
_KEPT = 1024  # blocks, of 24 KiB each


@dataclass(frozen=True, eq=False)
class Jitter:
    """The factors of a fleet's visits. They do not depend on what else is drawn, nor on how many at once."""

    fleet: Fleet
    streams: Streams
    _asked: dict[tuple[int, int], int] = field(default_factory=dict)
    _blocks: dict[tuple[int, int], Floats] = field(default_factory=dict)

    def of_all(self, devices: Numbers, visits: Numbers) -> tuple[Floats, Floats, Floats]:
        """The factors of visits on downlink rate, seconds of training and uplink rate, [n] each."""
        network, compute = self.fleet.network_jitter[devices], self.fleet.compute_jitter[devices]
        return (
            self._factors("network-down-jitter", network, devices, visits),
            self._factors("compute-jitter", compute, devices, visits),
            self._factors("network-up-jitter", network, devices, visits),
        )

    def of(self, device: int, visit: int) -> tuple[float, float, float]:
        """The same of a single visit, to the last bit.

        Where others of its block of devices were asked for before, it is looked up among theirs.
        """
        number = (device // _BLOCK, visit)
        block = self._blocks.get(number)
        if block is None:
            asked = self._asked.get(number, 0)
            if asked < _WORTH:
                self._asked[number] = asked + 1
                return self._single(device, visit)
            block = self._work_out(number)
        down, compute, up = block[device % _BLOCK].tolist()
        return down, compute, up

    def _work_out(self, number: tuple[int, int]) -> Floats:
        """The factors of a block of devices in their n-th visits, [devices, 3]; the latest such are kept."""
        first = number[0] * _BLOCK
        devices = np.arange(first, min(first + _BLOCK, len(self.fleet)))
        columns = self.of_all(devices, np.full(len(devices), number[1]))
        block = np.stack([np.broadcast_to(column, devices.shape) for column in columns], axis=1)
        del self._asked[number]
        if len(self._blocks) == _KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block
        return block

    def _factors(self, purpose: str, sigma: Floats, devices: Numbers, visits: Numbers) -> Floats:
        if not sigma.any():
            return NO_JITTER
        return np.exp(sigma * ndtri(self.streams.uniform(purpose, devices, visits)))

    def _single(self, device: int, visit: int) -> tuple[float, float, float]:
        network, compute = self.fleet.network_jitter[device], self.fleet.compute_jitter[device]
        return (
            self._factor("network-down-jitter", network, device, visit),
            self._factor("compute-jitter", compute, device, visit),
            self._factor("network-up-jitter", network, device, visit),
        )

    def _factor(self, purpose: str, sigma: float, device: int, visit: int) -> float:
        if not sigma:
            return 1.0
        return float(np.exp(sigma * ndtri(self.streams.uniform_of(purpose, device, visit))))
