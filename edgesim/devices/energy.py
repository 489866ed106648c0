"""Joules of what devices do. NaN stands for unknown: a device without power data costs no zero joules.

Power is that of the whole device: `idle_w` while it waits, `active_w` while it trains, and `idle_w` with its
radio's share on top while it transfers (see `edgesim.devices.radio`).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Figure = TypeVar("Figure", float, NDArray[np.float64])
"""A column, or a number of a single visit."""


def stage_j(power_w: Figure, j_per_bit: Figure, seconds: Figure, bits: Figure) -> Figure:
    """Joules of so many seconds at this power and so many bits moved meanwhile, at whatever rates."""
    return power_w * seconds + j_per_bit * bits
