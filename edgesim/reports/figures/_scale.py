"""Axes with units that fit their range."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """A unit for an axis: divide base units by `base` and write `unit`."""

    base: float
    unit: str


_TIMES = (Scale(1.0, "s"), Scale(60.0, "min"), Scale(3600.0, "h"), Scale(86400.0, "d"))


def of_seconds(longest_s: float) -> Scale:
    """The unit of an axis of time: ms below 1 s, and the largest of which the longest is at least two."""
    if longest_s < 1:
        return Scale(1e-3, "ms")
    return next((scale for scale in reversed(_TIMES) if longest_s >= 2 * scale.base), _TIMES[0])
