"""Numbers of a run that is under way, in few characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgesim.learner import falls
from edgesim.progress.moment import Moment
from edgesim.reports import _format

LEVELS, ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-=+*#@"

_SURE_S = 1.0  # of a run, before anything is said about what is left
_SURE_SHARE = 0.01


def clock(time_s: float) -> str:
    """Virtual seconds, which go on in one unit: `34.5 s`."""
    return f"{time_s:.1f} s" if time_s >= 1 else f"{time_s:.3g} s"


def value(metric: str, number: float) -> str:
    """A metric: accuracies in per cent."""
    return _format.fraction(number) if metric.endswith("accuracy") else f"{number:.4g}"


def headline(moment: Moment) -> list[str]:
    """The metric that tells most, with its name; nothing where nothing is measured."""
    name = moment.headline
    return [] if name is None else [f"{name} {value(name, moment.metrics[name])}"]


def wall(share: float | None, elapsed_s: float, *, at_most: bool) -> str:
    """Seconds of the wall clock that have passed and that are left, as far as that is known.

    Args:
        share: how much is done; null where it is not known.
        elapsed_s: how long that took.
        at_most: it may be over sooner.
    """
    passed = _format.seconds(round(elapsed_s))
    if share is None:
        return f"{passed}, ends at the target"
    if share < _SURE_SHARE or elapsed_s < _SURE_S:
        return passed
    left = _format.seconds(round(elapsed_s * (1 - share) / share))
    return f"{passed}, {'at most ' if at_most else ''}{left} left"


def sparkline(metric: str, points: Sequence[tuple[float, float]], width: int, levels: str) -> str:
    """A curve over virtual time in one line, from its least value to its greatest.

    Metrics that fall to 0 are drawn on a logarithmic scale.

    Args:
        metric: what it shows.
        points: virtual seconds and values, in order.
        width: characters.
        levels: from the lowest to the highest.
    """
    finite = [(time_s, number) for time_s, number in points if math.isfinite(number)]
    if falls(metric) and all(number > 0 for _, number in finite):
        finite = [(time_s, math.log(number)) for time_s, number in finite]
    if not finite or width < 1:
        return ""
    low, high = min(number for _, number in finite), max(number for _, number in finite)
    begin_s, end_s = finite[0][0], finite[-1][0]
    text, place = "", 0
    for column in range(width):
        until_s = begin_s + (end_s - begin_s) * (column + 1) / width
        while place + 1 < len(finite) and finite[place + 1][0] <= until_s:
            place += 1
        height = (finite[place][1] - low) / (high - low) if high > low else 0.0
        text += levels[min(int(height * len(levels)), len(levels) - 1)]
    return text
