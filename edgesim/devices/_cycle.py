"""Times that repeat."""

from __future__ import annotations

import numpy as np

from edgesim.devices.poisson import Floats


def cycle_of(at_s: Floats, origin_s: Floats | float, period_s: Floats | float) -> Floats:
    """The whole number k for which origin_s + k period_s <= at_s < origin_s + (k + 1) period_s.

    It holds for the edges as they are rounded: a quotient alone may be rounded over one of them.
    """
    cycle = np.floor((at_s - origin_s) / period_s)
    cycle -= origin_s + cycle * period_s > at_s
    cycle += origin_s + (cycle + 1) * period_s <= at_s
    return cycle
