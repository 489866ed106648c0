"""FedAsync (Xie et al. 2019, "Asynchronous Federated Optimization"; algorithms 3.12): models are mixed.

    alpha_t = alpha s(tau)
    W+      = W + alpha_t m (w - W)

The model is drawn towards an update where that was trained, and nowhere else, so that masks, cuts and
suffixes compose with it. Nothing is normalised: alpha_t alone says how far, and `weights` has no say. Several
updates of one aggregation are mixed in one after the other, in dispatch order, so that the last counts most;
the method is meant for one at a time.

alpha - `mixing`, 0.9 without discount as in public code of the method; the paper's 0.6 to 0.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._sums import Sums
from edgesim.papers import FEDASYNC
from edgesim.registry import component
from edgesim.yaml_source import Probability

if TYPE_CHECKING:
    from torch import Tensor


@component
class Mix(Aggregator):
    """Go a fixed share of the way towards each update.

    Attributes:
        mixing: the share of a fresh update; 1 puts it in the model's place, 0 ignores it.
    """

    papers = (FEDASYNC,)
    one_at_a_time: ClassVar[bool] = True

    mixing: Probability = 0.9

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor towards the updates, one after the other."""
        sums = Sums()
        for update in updates:
            share = self.mixing * self.staleness.factor(update.staleness)
            for name in update.values:
                whole = weights[name]
                now = whole + sums.moved[name] if name in sums.moved else whole
                sums.add(whole, update, name, share, against=update.held(name, now))
        return {name: sums.change(name, 1.0) for name in sums.covered}
