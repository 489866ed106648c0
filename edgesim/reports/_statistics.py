"""Medians, intervals and ratios over seeds, where a run that never arrived counts as infinitely late."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edgesim.rng import Streams

Seed = TypeVar("Seed", bound=Hashable)

BOOTSTRAP_FROM = 6
"""From so many values on the interval is a bootstrap; below it is the range."""

_CONFIDENCE = 0.95
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its interval; each may be infinite."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and interval: the range below six values, else the 95 % percentile bootstrap of the median.

    Bootstrap (Efron 1979): 10,000 resamples from a stream of its own, so that equal values give equal
    intervals; its ends are resampled medians, not mixtures of them, as infinities cannot be mixed.

    Args:
        values: at least one, without NaN.
    """
    median = statistics.median(values)
    if len(values) < BOOTSTRAP_FROM:
        return Spread(median, min(values), max(values))
    medians = _resampled_medians(np.sort(np.asarray(values, dtype=np.float64)))
    outside = int(_RESAMPLES * (1 - _CONFIDENCE) / 2)
    return Spread(median, float(medians[outside]), float(medians[-1 - outside]))


def _resampled_medians(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Medians of resamples of sorted values, sorted. Drawing ranks keeps infinities out of the arithmetic."""
    count = len(values)
    ranks = Streams(0).generator("comparison-bootstrap").integers(count, size=(_RESAMPLES, count))
    ranks.sort(axis=1)
    return np.sort((values[ranks[:, (count - 1) // 2]] + values[ranks[:, count // 2]]) / 2)


def speedup(baseline_s: Mapping[Seed, float], variant_s: Mapping[Seed, float]) -> float | None:
    """How many times sooner the variant arrives: the median over seeds of baseline time over variant time.

    Infinite times count as such: where only the baseline never arrived the ratio is infinite, where only the
    variant never did it is zero; a seed at which neither arrived tells nothing. Null where no seed is left,
    and where the median itself is infinite or zero, for then there is no number to give.

    Args:
        baseline_s: seconds by seed; infinite where the run never arrived.
        variant_s: the same.
    """
    ratios = [
        _ratio(baseline_s[seed], variant_s[seed])
        for seed in baseline_s
        if seed in variant_s and math.isfinite(min(baseline_s[seed], variant_s[seed]))
    ]
    if not ratios:
        return None
    median = statistics.median(ratios)
    return median if 0 < median < math.inf else None


def _ratio(baseline_s: float, variant_s: float) -> float:
    if baseline_s == variant_s:
        return 1.0
    return baseline_s / variant_s if variant_s > 0 else math.inf
