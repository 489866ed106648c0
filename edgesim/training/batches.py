"""Which samples a visit trains on, in which order: from its own stream, whatever else happens in the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgesim.rng import Streams
from edgesim.training.accounting import LocalWork

Positions = NDArray[np.int64]


def draw_batches(streams: Streams, device: int, visit: int, samples: int, work: LocalWork) -> list[Positions]:
    """Positions in 0..samples-1 for each step of a visit: every epoch is a permutation cut into batches."""
    steps = work.steps_of(samples)
    generator = streams.generator("batches", device, visit)
    batches: list[Positions] = []
    while len(batches) < steps:
        order = generator.permutation(samples)
        batches.extend(order[start : start + work.batch_size] for start in range(0, samples, work.batch_size))
    return batches[:steps]


def widths(batch: int) -> tuple[int, ...]:
    """The batch sizes that plans are made for, ascending: the full one and its halves, down to two.

    Where a plan is cut is seen from what two samples have in common, so a single one is padded to two.
    """
    found = [batch]
    while found[0] > 2:
        found.insert(0, -(-found[0] // 2))
    return tuple(found)


def padded(batches: Sequence[Positions], width: int) -> tuple[Positions, NDArray[np.float64]]:
    """Batches of one width: positions and weights [len(batches), width].

    The weights of a batch sum to one; a padded place repeats a sample at weight zero.
    """
    sizes = np.array([len(batch) for batch in batches])
    same = (sizes == width).all()
    index = np.stack(batches if same else [np.resize(batch, width) for batch in batches])
    return index, (np.arange(width) < sizes[:, None]) / sizes[:, None]
