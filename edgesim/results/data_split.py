"""How the training samples were split over the devices: the table of the data split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgesim.results.tables import frame

MOST_DEVICES = 10_000
"""Of larger fleets there is no table: it would outgrow all others, and no picture needs it."""


def data_split_table(
    profile_of: Callable[[int], str], shards: Sequence[NDArray[np.int64]], labels: NDArray[np.int64]
) -> pd.DataFrame | None:
    """The table of the data split: how many samples of each label each device holds, where it holds any.

    Null where samples have a label for each position and none of their own, and for more than `MOST_DEVICES`.

    Args:
        profile_of: name of the profile of a device.
        shards: of each device the positions of its samples.
        labels: of all samples, [n] or [n, positions].
    """
    if labels.ndim != 1 or len(shards) > MOST_DEVICES:
        return None
    counts = [np.unique(labels[shard], return_counts=True) for shard in shards]
    held = [len(found) for found, _ in counts]
    columns = {
        "device": np.repeat(np.arange(len(shards)), held),
        "profile": np.repeat([profile_of(device) for device in range(len(shards))], held),
        "label": np.concatenate([found for found, _ in counts]),
        "samples": np.concatenate([samples for _, samples in counts]),
    }
    return frame("data_split", pd.DataFrame(columns))
