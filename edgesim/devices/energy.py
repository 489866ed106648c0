"""Joules of what devices do. NaN stands for unknown: a device without power data costs no zero joules.

Power is that of the whole device: `idle_w` while it waits, `active_w` while it trains, and `idle_w` with its
radio's share on top while it transfers (see `edgesim.devices.radio`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgesim.devices.fleet import Fleet

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]


def compute_j(fleet: Fleet, devices: Devices, seconds: ArrayLike) -> Floats:
    """Joules of n devices that train for so many seconds."""
    return np.multiply(fleet.active_w[devices], seconds)


def download_j(fleet: Fleet, devices: Devices, seconds: ArrayLike, bits: ArrayLike) -> Floats:
    """Joules of n devices that receive so many bits in so many seconds, at whatever rates."""
    power_w = fleet.idle_w[devices] + fleet.radio_down_w[devices]
    return np.multiply(power_w, seconds) + np.multiply(fleet.radio_down_j_per_bit[devices], bits)


def upload_j(fleet: Fleet, devices: Devices, seconds: ArrayLike, bits: ArrayLike) -> Floats:
    """Joules of n devices that send so many bits in so many seconds, at whatever rates."""
    power_w = fleet.idle_w[devices] + fleet.radio_up_w[devices]
    return np.multiply(power_w, seconds) + np.multiply(fleet.radio_up_j_per_bit[devices], bits)
