"""Which samples a visit trains on, in which order: from its own stream, whatever else happens in the run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgesim.rng import Streams
from edgesim.training.accounting import LocalWork


def draw_batches(
    streams: Streams, device: int, visit: int, samples: int, work: LocalWork
) -> list[NDArray[np.int64]]:
    """Positions in 0..samples-1 for each step of a visit: every epoch is a permutation cut into batches."""
    steps = work.steps_of(samples)
    batches: list[NDArray[np.int64]] = []
    for order in _permutations(streams, device, visit, samples, work):
        batches.extend(order[start : start + work.batch_size] for start in range(0, samples, work.batch_size))
        if len(batches) >= steps:
            break
    return batches[:steps]


def _permutations(
    streams: Streams, device: int, visit: int, samples: int, work: LocalWork
) -> Iterator[NDArray[np.int64]]:
    per_epoch = -(-samples // work.batch_size)
    epochs = -(-work.steps_of(samples) // per_epoch)
    positions = np.arange(samples)
    keys = streams.bits("batches", device, visit, np.arange(epochs)[:, None], positions)
    yield from np.argsort(keys, axis=1, kind="stable")
