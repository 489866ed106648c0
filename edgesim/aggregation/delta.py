"""FedBuff (Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation"; algorithms 3.13).

What a client changed since its download is added to the model as it is now:

    delta_i = w_i - W_downloaded
    mean:  W+ = W + eta_g sum_i s(tau_i) c_i m_i delta_i / sum_i c_i m_i       per coordinate
    sum:   W+ = W + eta_g sum_i s(tau_i) m_i delta_i

The divisor holds the weights without their discounts, over those who trained the coordinate (with equal
weights it is their number): staleness shortens the step. eta_g is the server optimiser's learning rate, and
momentum and Adam come in there. Running statistics of norms are no sum of steps and could fall below zero:
they are averaged as in `covered`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import Change
from edgesim.aggregation._sums import Sums
from edgesim.papers import FEDBUFF
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@component
class Delta(Aggregator):
    """Add what the clients changed, averaged or summed.

    Attributes:
        reduction: `mean` as in the paper, or `sum` as in FLSim, where the server's learning rate has to make
            up for the size of the buffer.
    """

    papers = (FEDBUFF,)
    needs_base: ClassVar[bool] = True

    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        if self.reduction == "sum" and self.weights == "samples":
            raise ValueError(
                "reduction: sum multiplies steps by the clients' samples; add weights: equal, or take mean"
            )

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """The change of each tensor by what the clients changed in it."""
        sums = Sums()
        for update in updates:
            discounted = self.discounted(update)
            for name in update.values:
                if name in update.statistics:
                    sums.add(weights[name], update, name, discounted)
                else:
                    base = update.base[name]
                    sums.add(weights[name], update, name, discounted, against=base, counts=update.weight)
        return {name: sums.change(name, self._divisor(sums, name)) for name in sums.covered}

    def _divisor(self, sums: Sums, name: str) -> Tensor | float:
        averaged = self.reduction == "mean" or name in sums.statistics
        return sums.covered[name] if averaged else 1.0
