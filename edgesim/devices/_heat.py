"""The closed form of thermal throttling: work done after so long, and how long so much work takes.

    h       heat: 0 after long idling, 1 after long work
    o, k    onset and slowdown; r = max(0, (h - o) / (1 - o)) is how far the device is throttled
    T       time constant of heating; during work 1 - h decays by exp(-t / T), and from the onset 1 - r too

Up to the onset work takes its nominal seconds w. From there the pace is dt/dw = 1 + (k - 1) r, and with
p = 1 + (k - 1) r0 the pace at the start

    w = (T / k) (x + ln((k - (k - p) exp(-x)) / p)),   x = t / T
    t = T (y + ln((p + (k - p) exp(-y)) / k)),         y = k w / T
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Heating:
    """Work that n devices begin, as columns [n, 1], to be asked at several moments each.

    Attributes:
        slowdown: k; one where a device is not throttled, and then seconds are nominal ones bit for bit.
        time_s: T.
        onset_s: seconds of work until the slowdown begins.
        pace: p, from there.
    """

    slowdown: Floats
    time_s: Floats
    onset_s: Floats
    pace: Floats

    @classmethod
    def begin(cls, slowdown: Floats, onset: Floats, time_s: Floats, heat: Floats) -> Self:
        """From columns [n] of what `Throttling` holds and of the heat when the work begins."""
        cold = np.minimum((1 - heat) / (1 - onset), 1)  # 1 - r
        onset_s = time_s * np.log((1 - np.minimum(heat, onset)) / (1 - onset))
        pace = slowdown - (slowdown - 1) * cold
        return cls(*(column[:, np.newaxis] for column in (slowdown, time_s, onset_s, pace)))

    def rows(self, chosen: NDArray[np.int64]) -> Self:
        """The same for some of the devices."""
        columns = (self.slowdown, self.time_s, self.onset_s, self.pace)
        return type(self)(*(column[chosen] for column in columns))

    def done(self, elapsed_s: Floats) -> Floats:
        """Nominal seconds of work done after so long, [n, moments]."""
        x = np.maximum(elapsed_s - self.onset_s, 0) / self.time_s
        gain = np.log1p(-(self.slowdown - self.pace) * np.expm1(-x) / self.pace)
        throttled = np.minimum(elapsed_s, self.onset_s) + self.time_s / self.slowdown * (x + gain)
        return np.where(self.slowdown > 1, throttled, elapsed_s)

    def taken(self, nominal_s: Floats) -> Floats:
        """Seconds until so many nominal seconds of work are done, [n, amounts]."""
        y = self.slowdown * np.maximum(nominal_s - self.onset_s, 0) / self.time_s
        loss = np.log1p((self.slowdown - self.pace) * np.expm1(-y) / self.slowdown)
        throttled = np.minimum(nominal_s, self.onset_s) + self.time_s * (y + loss)
        return np.where(self.slowdown > 1, throttled, nominal_s)
