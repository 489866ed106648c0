"""Axes with units that fit their range."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """A unit for an axis: divide base units by `base` and write `unit`."""

    base: float
    unit: str


_TIMES = (Scale(1e-3, "ms"), Scale(1.0, "s"), Scale(60.0, "min"), Scale(3600.0, "h"), Scale(86400.0, "d"))


def of_seconds(longest_s: float) -> Scale:
    """The largest unit of time of which the longest is at least two: 100 s, and 2 min from 120 s on."""
    fitting = [scale for scale in _TIMES if longest_s >= 2 * scale.base]
    return fitting[-1] if fitting else _TIMES[0]
