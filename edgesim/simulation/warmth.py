"""How hot the devices of a run are, as far as any of them throttles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.speed import Speed

Floats = NDArray[np.float64]


class Warmth:
    """Heat of each device and since when it cools; nothing is kept where no device throttles.

    Args:
        speed: of the fleet.
        devices: how many there are.

    Attributes:
        matters: whether any device throttles or bears a load.
    """

    def __init__(self, speed: Speed, devices: int) -> None:
        self._speed = speed
        self.matters = speed.varies
        self._heat = np.zeros(devices if self.matters else 0)
        self._since_s = np.zeros(len(self._heat))

    def at(self, devices: NDArray[np.int64], now_s: float) -> Floats:
        """Heat of these idle devices now, [n]."""
        if not self.matters:
            return np.zeros(len(devices))
        return self._speed.cooled(self._heat[devices], devices, now_s - self._since_s[devices])

    def worked(self, device: int, begin_s: float, work_s: float) -> None:
        """A device has cooled until it began to train, and has trained for so long."""
        if not self.matters:
            return
        one = np.array([device])
        heat = self._speed.warmed(self.at(one, begin_s), one, np.array([work_s]))
        self._heat[device], self._since_s[device] = heat[0], begin_s + work_s
