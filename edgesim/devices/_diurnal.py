"""A share of devices present that follows the hour of the day, with windows of a mean length.

The law. At the events of a Poisson process of its own, a device draws a threshold, uniform between 0 and 1.
It is there while the share of the hour is above its threshold. So at every moment exactly the share is there
in expectation, and a device's state is looked up from its latest event alone, at any time.

Between the 24 shares given, an hour apart, the share is linear. A window of presence begins where an event
takes an absent device in (at rate r s (1 - s), with r events per second and the share s), or where the share
rises above its threshold (at rate ds/dt while it rises). A day's presence over a day's windows is their mean
length, which gives r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesim.devices._cycle import cycle_of
from edgesim.devices._law import Bools
from edgesim.devices.poisson import Floats, Numbers, Poisson

HOUR_S = 3600.0
DAY_HOURS = 24


def reset_interval_s(shares: Floats, session_s: float) -> float:
    """Mean seconds between a device's events, for windows of this mean length.

    Args:
        shares: [24], an hour apart.
        session_s: mean length of a window of presence.

    Raises:
        ValueError: the rise and fall of the share alone makes shorter windows, or the share is always 0 or 1.
    """
    after = np.roll(shares, -1)
    present_s = HOUR_S * shares.sum()
    turning_s = present_s - HOUR_S * ((shares**2 + shares * after + after**2) / 3).sum()
    rises = np.maximum(after - shares, 0).sum()
    if not turning_s > 0:
        raise ValueError("needs shares that are neither all 0 nor all 1; use always")
    events_s = present_s / session_s - rises
    if not events_s > 0:
        longest_h = present_s / rises / HOUR_S
        raise ValueError(f"session must be shorter than {longest_h:.3g} h for the share to rise as it does")
    return float(turning_s / events_s)


@dataclass(frozen=True, slots=True, eq=False)
class DiurnalLaw:
    """Devices that are there while the share of the hour is above their threshold.

    Attributes:
        shares: [24], share that is there at `first_s` after midnight, an hour later, and so on.
        first_s: within the day.
        resets: at which thresholds are drawn.
        start: number of the first device.
        ahead_s: [devices], how far its clock is ahead.
    """

    shares: Floats
    first_s: float
    resets: Poisson
    start: int
    ahead_s: Floats

    def present(self, devices: Numbers, at_s: Floats) -> Bools:
        """Whether the share of the hour is above the threshold."""
        return self._within_hour(devices, at_s, self.resets.latest_s(devices, at_s))[0]

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """The same; until share and threshold cross, the hour ends or the next threshold is drawn."""
        latest_s, next_s = self.resets.around_s(devices, at_s)
        here, upto_s = self._within_hour(devices, at_s, latest_s)
        return here, np.minimum(upto_s, next_s)

    def _within_hour(self, devices: Numbers, at_s: Floats, event_s: Floats) -> tuple[Bools, Floats]:
        """Whether each device is there, and until when within the hour; the event names its threshold."""
        origin_s = self.first_s - self.ahead_s[devices - self.start]
        hour = cycle_of(at_s, origin_s, HOUR_S)
        begin_s, end_s = origin_s + hour * HOUR_S, origin_s + (hour + 1) * HOUR_S
        share = self.shares[hour.astype(np.int64) % DAY_HOURS]
        next_share = self.shares[(hour.astype(np.int64) + 1) % DAY_HOURS]
        threshold = self.resets.streams.uniform("availability-threshold", devices, event_s.view(np.int64))
        before, after = share > threshold, next_share > threshold
        slope = np.where(before == after, 1.0, next_share - share)
        crossing_s = np.clip(begin_s + (threshold - share) / slope * HOUR_S, begin_s, end_s)
        first = (before != after) & (at_s < crossing_s)
        return np.where(first, before, after), np.where(first, crossing_s, end_s)
