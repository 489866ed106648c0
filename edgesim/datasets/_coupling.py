"""Which device holds which shard: data size or rare classes may go with speed (algorithms 2, last paragraph).

With S shards and D devices, D at least S:

    independent             device i holds shard i modulo S
    slow_have_more          the more samples a shard has, the slower the devices that hold it (FedGMR)
    slow_have_rare_classes  the rarer the classes of a shard, the slower the devices that hold it

Under the last two the device at place r, from the fastest to the slowest, holds the shard at place
floor(r S / D), from the smallest or least rare to the largest or rarest. Equals stand in the order of their
numbers.

The rarity of a shard is the mean surprisal of its samples: the mean of -log p(c) over the classes c of its
samples, with p(c) the share of class c in the pool. A shard of a class that is a hundredth of the pool is
twice as rare as one of a class that is a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem

Indices = NDArray[np.int64]
Coupling = Literal["independent", "slow_have_more", "slow_have_rare_classes"]


def couple(
    coupling: Coupling, shards: Sequence[Indices], labels: Indices, speed: NDArray[np.float64]
) -> Indices:
    """The shard that each device holds, int64 [devices].

    Args:
        coupling: see above.
        shards: indices of the samples of each.
        labels: of the samples of the pool, int64 [n].
        speed: of each device, larger is faster, [devices].

    Raises:
        InputError: no class is rarer than another.
    """
    places = np.arange(len(speed))
    if coupling == "independent":
        return places % len(shards)
    if coupling == "slow_have_more":
        weight = np.array([shard.size for shard in shards], dtype=np.float64)
    else:
        weight = _rarity(shards, labels)
    fast_first = np.argsort(-speed, kind="stable")
    light_first = np.argsort(weight, kind="stable")
    shard_of = np.empty(len(speed), dtype=np.int64)
    shard_of[fast_first] = light_first[places * len(shards) // len(speed)]
    return shard_of


def _rarity(shards: Sequence[Indices], labels: Indices) -> NDArray[np.float64]:
    """Mean surprisal of each shard's samples."""
    _, class_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if np.ptp(counts) == 0:
        message = (
            f"slow_have_rare_classes needs classes that are rarer than others, but each has {counts[0]} of "
            f"the {labels.size} training samples; choose another coupling"
        )
        raise InputError(Problem(message, path="dataset.partition.coupling"))
    surprisal = np.log(labels.size / counts)
    held = (np.bincount(class_of[shard], minlength=counts.size) for shard in shards)
    return np.array([counts_held @ surprisal / counts_held.sum() for counts_held in held])
