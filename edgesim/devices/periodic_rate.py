"""A rate that varies in time: a staircase that repeats for ever, its integral, and the inverse of that."""

from __future__ import annotations

from dataclasses import dataclass
from math import ulp
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PeriodicRate:
    """Rates of n steps, again and again.

    Attributes:
        bounds_s: where the steps begin, and where the period ends, [n + 1]; the first is 0.
        rates_bps: of each step, zero or more and not all zero, [n].
        bits: what has passed by each of the bounds, [n + 1].
    """

    bounds_s: Floats
    rates_bps: Floats
    bits: Floats

    @classmethod
    def of(cls, lasts_s: Floats, rates_bps: Floats) -> Self:
        """From how long each step lasts (zero or more) and its rate, [n]; in all, some time and some bits."""
        bounds_s, bits = (np.append(0.0, np.cumsum(steps)) for steps in (lasts_s, rates_bps * lasts_s))
        return cls(bounds_s, rates_bps, bits)

    @property
    def period_s(self) -> float:
        """Seconds after which it repeats."""
        return float(self.bounds_s[-1])

    @property
    def mean_bps(self) -> float:
        """Mean over time."""
        return float(self.bits[-1] / self.bounds_s[-1])

    def seconds(self, bits: Floats, from_s: Floats) -> Floats:
        """How long so many bits take from these times on, exactly, [n]; none take no time."""
        phase_s = from_s % self.period_s
        target = self._passed(phase_s) + bits
        periods = np.maximum(np.ceil(target / self.bits[-1]) - 1, 0)
        rest = np.clip(target - periods * self.bits[-1], 0.0, self.bits[-1])
        # The first step by whose end they have passed: not one of zero rate, except where nothing is to pass.
        step = np.maximum(np.searchsorted(self.bits, rest, side="left") - 1, 0)
        within_s = np.zeros_like(rest)
        np.divide(rest - self.bits[step], self.rates_bps[step], out=within_s, where=rest > self.bits[step])
        seconds = periods * self.period_s + (self.bounds_s[step] - phase_s) + within_s
        return np.where(bits > 0, np.maximum(seconds, 0.0), 0.0)

    def bits_between(self, from_s: float, to_s: float) -> float:
        """The integral of the rate over this time."""
        periods, phases_s = np.divmod(np.array([from_s, to_s]), self.period_s)
        passed = self._passed(phases_s)
        return float((periods[1] - periods[0]) * self.bits[-1] + (passed[1] - passed[0]))

    def rate_at(self, at_s: float) -> tuple[float, float]:
        """The rate from this time on, and for how many seconds, of which there are some."""
        phase_s, near_s = at_s % self.period_s, 4 * ulp(at_s)
        # At a bound, or nearer to it than the clock can tell, the next step counts.
        if phase_s + near_s >= self.period_s:
            phase_s -= self.period_s
        step = int(np.searchsorted(self.bounds_s, phase_s + near_s, side="right")) - 1
        return float(self.rates_bps[step]), float(self.bounds_s[step + 1] - phase_s)

    def _passed(self, phase_s: Floats) -> Floats:
        return np.asarray(np.interp(phase_s, self.bounds_s, self.bits), dtype=np.float64)
