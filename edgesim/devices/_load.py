"""Load that is correlated in time: an autoregressive process that can be asked for any cell of time.

    x[c] = a x[c-1] + sqrt(1 - a^2) e[c],   a = exp(-1/4),   e standard normal, hashed by device and cell

as its moving average over the last 32 cells, scaled to variance 1. What is cut off is exp(-16) of the
variance, so that no correlation is off by more than exp(-8). A cell costs 32 hashes and needs no memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from edgesim.rng import Streams

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CELLS_PER_CORRELATION_TIME = 4
_TERMS = 32
_DECAY = np.exp(-1 / CELLS_PER_CORRELATION_TIME)
_WEIGHTS = _DECAY ** np.arange(_TERMS) * np.sqrt((1 - _DECAY**2) / (1 - _DECAY ** (2 * _TERMS)))


def process(streams: Streams, devices: Integers, first: Integers, count: int) -> Floats:
    """The process of n devices in the cells `first` [n] and the following ones, [n, count]."""
    cells = first[:, np.newaxis] + np.arange(1 - _TERMS, count)
    innovations = ndtri(streams.uniform("load", devices[:, np.newaxis], cells))
    total = np.zeros((len(devices), count))
    for age, weight in enumerate(_WEIGHTS):  # in a fixed order: the same bits in whichever block a cell lies
        start = _TERMS - 1 - age
        total += weight * innovations[:, start : start + count]
    return total


def phase(streams: Streams, devices: Integers) -> Floats:
    """By how much of a cell each device's cells begin before time zero, [n]: they do not change at once."""
    return streams.uniform("load-phase", devices)
