"""Coverage-normalised average (MA of algorithms 1.6): each coordinate averages over those who trained it.

    W+ = W + [cov > 0] sum_i a_i m_i (w_i - W) / sum_i a_i m_i

With whole masks this is FedAvg (McMahan et al. 2017); with FedPMT's suffixes it is its layer-wise average, as
each layer is divided by the weight of those who trained it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgesim.aggregation._aggregator import Aggregator, Update, sums_of
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class Covered(Aggregator):
    """Average over the contributors of each coordinate."""

    def aggregate(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Tensor]:
        """The next version; a coordinate that nobody trained keeps its value bit for bit."""
        sums = sums_of(weights, updates)
        return {**weights, **{name: sums.step(weights, name, sums.covered[name]) for name in sums.moved}}
