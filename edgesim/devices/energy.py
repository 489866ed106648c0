"""Joules of what devices do. NaN stands for unknown: a device without power data costs no zero joules.

Power is that of the whole device: `idle_w` while it waits, `active_w` while it trains, and `idle_w` with its
radio's share on top while it transfers (see `edgesim.devices.radio`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def stage_j(
    power_w: ArrayLike, j_per_bit: ArrayLike, seconds: ArrayLike, bits: ArrayLike
) -> NDArray[np.float64]:
    """Joules of so many seconds at this power and so many bits moved meanwhile, at whatever rates."""
    return np.asarray(np.multiply(power_w, seconds) + np.multiply(j_per_bit, bits))
