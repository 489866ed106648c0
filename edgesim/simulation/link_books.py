"""What each link has carried, and what it can: the numbers that verification asks for."""

from __future__ import annotations

from collections.abc import Sequence
from math import ulp

import numpy as np
from numpy.typing import NDArray

SHARE = 1e-12
"""A flow is done when less than this share of its bits is left."""


def instant_s(now_s: float) -> float:
    """Seconds that are no time at all: with less to go, a flow's end cannot be told from now."""
    return 2 * ulp(now_s)


class LinkBooks:
    """Capacities and totals of links, as arrays [links].

    Attributes:
        capacity_bps: what each link can carry now.
        carried_bits: what it has carried so far, as the integral of its rate.
        busy_s: for how long it has carried anything.
        peak_utilisation: largest share of its capacity that was ever in use for more than an instant.
    """

    def __init__(self, capacities_bps: Sequence[float]) -> None:
        self.capacity_bps: NDArray[np.float64] = np.array(capacities_bps, dtype=np.float64)
        self.carried_bits: NDArray[np.float64] = np.zeros(len(self.capacity_bps))
        self.busy_s: NDArray[np.float64] = np.zeros(len(self.capacity_bps))
        self.peak_utilisation: NDArray[np.float64] = np.zeros(len(self.capacity_bps))
        for capacity_bps in self.capacity_bps.tolist():
            check_capacity(capacity_bps)

    def note(self, link: int, used_bps: float, seconds: float) -> None:
        """So much of a link was in use for so long."""
        self.carried_bits[link] += used_bps * seconds
        self.busy_s[link] += seconds if used_bps else 0.0
        if used_bps > self.peak_utilisation[link] * self.capacity_bps[link]:
            self.peak_utilisation[link] = used_bps / self.capacity_bps[link]

    def note_all(self, links: NDArray[np.int64], used_bps: NDArray[np.float64], seconds: float) -> None:
        """So much of each of these different links was in use for so long."""
        self.carried_bits[links] += used_bps * seconds
        self.busy_s[links] += np.where(used_bps > 0, seconds, 0.0)
        peak = used_bps / self.capacity_bps[links]
        self.peak_utilisation[links] = np.maximum(self.peak_utilisation[links], peak)


def check_time(before_s: float, now_s: float, next_s: float) -> None:
    """Check that time goes forward, and past no flow's end.

    Raises:
        ValueError: it does not.
    """
    if not before_s <= now_s <= next_s + instant_s(now_s):
        raise ValueError(
            f"time may go from {before_s} s to the end of a flow at {next_s} s, not to {now_s} s"
        )


def check_capacity(capacity_bps: float) -> None:
    """Check that a link can have this capacity.

    Raises:
        ValueError: it is not finite, or negative.
    """
    if not 0 <= capacity_bps < float("inf"):
        raise ValueError(
            f"a capacity must be finite and zero or more, got {capacity_bps}; leave an unlimited link out"
        )
