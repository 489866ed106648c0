"""Whether the model learnt: the training loss of the updates that were merged, early and late."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

_SHARE = 0.1
_VISITS = 10  # a median of fewer says little where devices have different data


@dataclass(frozen=True, slots=True)
class LossTrend:
    """Median training loss of merged visits at both ends of a run.

    Attributes:
        first: over the first aggregations; infinite where most are no numbers.
        last: over the last.
        aggregations: how many at each end.
    """

    first: float
    last: float
    aggregations: int

    @property
    def falls(self) -> bool:
        """Whether the loss is lower in the end."""
        return self.last < self.first

    def __str__(self) -> str:
        of = f"{self.aggregations} aggregations" if self.aggregations > 1 else "aggregation"
        return f"{self.first:.4g} in the first {of} and {self.last:.4g} in the last"


def loss_trend(dispatches: pd.DataFrame) -> LossTrend | None:
    """How the training loss went; null where it is not known, or from fewer than two aggregations.

    The first tenth of the aggregations is held against the last, or as many as it takes for ten visits, up to
    one half. Medians are not moved by a few devices with odd data. A loss that is no number is infinite.
    """
    merged = dispatches[dispatches["outcome"] == "aggregated"]
    losses = merged["train_loss"]
    if not losses.notna().any():
        return None
    made = merged["base_version"] + merged["staleness"].astype("int64")
    sizes = made.groupby(made).size()
    count = min(max(math.ceil(_SHARE * len(sizes)), _enough(sizes), _enough(sizes[::-1])), len(sizes) // 2)
    if count == 0:
        return None
    values = losses.fillna(math.inf)
    first, last = made <= sizes.index[count - 1], made >= sizes.index[-count]
    return LossTrend(float(np.median(values[first])), float(np.median(values[last])), count)


def _enough(sizes: pd.Series[int]) -> int:
    """How many aggregations it takes for so many visits."""
    return int((sizes.cumsum() < _VISITS).sum()) + 1
