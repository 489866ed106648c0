"""Devices that fail in the middle of their work, at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from edgesim.devices.fleet import FleetGroup
from edgesim.devices.poisson import Floats, Numbers
from edgesim.rng import Streams


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """When visits fail, in seconds of work: a device that does nothing does not fail.

    Attributes:
        streams: that failures are drawn from.
        mean_s: per fleet entry, mean seconds of work until a failure; infinite where nothing fails.
        ends: per fleet entry, the number behind that of its last device.
    """

    streams: Streams
    mean_s: Floats
    ends: Numbers

    @classmethod
    def draw(cls, groups: Sequence[FleetGroup], streams: Streams) -> Self:
        """The failures of a fleet of these entries."""
        mean_s = [np.inf if group.failures is None else 1 / group.failures for group in groups]
        return cls(streams, np.array(mean_s), np.cumsum([group.count for group in groups]))

    @property
    def never(self) -> bool:
        """Whether no visit ever fails."""
        return bool(np.isinf(self.mean_s).all())

    def failure_after_s(self, devices: Numbers, visits: Numbers) -> Floats:
        """Seconds of work after which each visit would fail, exponential; infinite for never. All [n]."""
        if self.never:
            return np.full(len(devices), np.inf)
        mean_s = self.mean_s[np.searchsorted(self.ends, devices, side="right")]
        return -mean_s * np.log(self.streams.uniform("failure", devices, visits))
