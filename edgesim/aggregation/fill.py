"""Fill-then-average (GA of algorithms 1.6): what a client did not train counts as the old global value.

In symbols (see `_aggregator`):

    W+ = W + sum_i a_i m_i (w_i - W) / sum_i a_i
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgesim.aggregation._aggregator import Aggregator, Update, sums_of
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class Fill(Aggregator):
    """Average over all clients, with the old value where a client trained nothing."""

    def aggregate(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Tensor]:
        """The next version; a coordinate that nobody trained keeps its value bit for bit."""
        sums = sums_of(weights, updates)
        return {**weights, **{name: sums.step(weights, name, sums.total) for name in sums.moved}}
