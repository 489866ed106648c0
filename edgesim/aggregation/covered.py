"""Coverage-normalised average (MA of algorithms 1.6): each coordinate averages over those who trained it.

    W+ = W + [cov > 0] sum_i a_i m_i (w_i - W) / sum_i a_i m_i

With whole masks this is FedAvg (McMahan et al. 2017); with FedPMT's suffixes it is its layer-wise average, as
each layer is divided by the weight of those who trained it; with a discount of staleness it is FedGMR's
BuffMaskFedAvg (arXiv 2512.05372). The discounted weights are what normalises, per coordinate: staleness moves
shares from old to fresh updates and never shortens the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._sums import Sums
from edgesim.papers import FEDAVG
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class Covered(Aggregator):
    """Average over the contributors of each coordinate."""

    papers = (FEDAVG,)

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor towards the average of those who trained it."""
        sums = Sums()
        for update in updates:
            sums.add_all(weights, update, self.discounted(update))
        return {name: sums.change(name, covered) for name, covered in sums.covered.items()}
