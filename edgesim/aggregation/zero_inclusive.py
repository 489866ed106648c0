"""Zero-inclusive average (FA of algorithms 1.6), an ablation: what a client does not hold counts as zero.

In symbols (see `_aggregator`), for the tensors of which client i holds a part:

    W+ = sum_i a_i m_i w_i / sum_i a_i

This is what a server computes that fills sub-models up with zeros and averages them: a coordinate shrinks by
the share of weight that does not hold it, and one that nobody holds is destroyed. It shows what the other
rules gain (the ablation of FedGMR, arXiv 2512.05372); to train a model take `covered` or `fill`.

Masks and cuts say what is held. A tensor that an update lacks altogether was held as it is and run without
being trained (FedPMT): the old value counts, so that a tensor which no update brings keeps its bits. Running
statistics of norms are averaged as in `covered`: a variance that shrank with the coverage would blow up what
it divides, which is no part of the ablation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._sums import Sums
from edgesim.papers import FEDGMR
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class ZeroInclusive(Aggregator):
    """Average over all clients, with zero where a client held nothing: destroys what nobody holds."""

    papers = (FEDGMR,)
    keeps_untrained: ClassVar[bool] = False

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor towards the average of all, nearest to zero where fewest hold it."""
        sums, brought, total = Sums(), defaultdict[str, float](float), 0.0
        for update in updates:
            weight = self.discounted(update)
            sums.add_all(weights, update, weight)
            for name in update.values:
                brought[name] += weight
            total += weight
        changes = {}
        for name, covered in sums.covered.items():
            if name in sums.statistics:
                changes[name] = sums.change(name, covered)
            else:
                lacking = (brought[name] - covered) / total
                changes[name] = Change(sums.moved[name] / total - lacking * weights[name])
        return changes
