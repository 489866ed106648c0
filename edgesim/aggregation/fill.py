"""Fill-then-average (GA of algorithms 1.6): what a client did not train counts as the old global value.

In symbols (see `_aggregator`):

    W+ = W + sum_i a_i m_i (w_i - W) / sum_i a_i

The divisor is the sum of all discounted weights: staleness moves shares from old to fresh updates, and
updates that are all equally old go as far as fresh ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._sums import Sums
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class Fill(Aggregator):
    """Average over all clients, with the old value where a client trained nothing."""

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor towards the average of all, most of it where most trained it."""
        sums, total = Sums(), 0.0
        for update in updates:
            weight = self.discounted(update)
            sums.add_all(weights, update, weight)
            total += weight
        return {name: sums.change(name, total) for name in sums.covered}
