"""How updates become the next version of the model: one pass, in the order given, nothing kept per client.

Symbols of algorithms 1.6 and 3.7 (5):

    W      the model before            `weights`
    w_i    what client i returned      `update.values`
    m_i    where client i trained      `update.masks` (absent: the whole tensor)
    c_i    weight of client i          `update.weight`
    tau_i  age of its base, versions   `update.staleness`
    a_i    c_i s(tau_i)                `aggregator.discounted(update)`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from edgesim.aggregation._server_optimizer import Change, Moments, ServerOptimizer, ServerSgd, apply
from edgesim.aggregation._staleness import Constant, Staleness
from edgesim.papers import Paper
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._slicing import Place


@dataclass(frozen=True)
class Update:
    """What one client sends back.

    Attributes:
        values: the tensors that it trained, whole; tensors that are absent were not trained.
        weight: c_i > 0.
        masks: boolean tensors that say which coordinates of a value were trained; absent means all of them.
        places: where a value lies in the model's tensor, if it is a cut of it; absent means it is whole.
        statistics: names of the values that are running statistics of norms, not parameters.
        staleness: tau_i, versions that were made since the one that it started from; 0 is fresh.
        base: the values of the parameters as they were downloaded, for aggregations that need them.
    """

    values: Mapping[str, Tensor]
    weight: float
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    statistics: frozenset[str] = frozenset()
    staleness: int = 0
    base: Mapping[str, Tensor] = field(default_factory=dict)

    def held(self, name: str, whole: Tensor) -> Tensor:
        """The part of a tensor of the model that this client holds; may be a view of it."""
        place = self.places.get(name)
        if place is None:
            return whole
        from edgesim.models._slicing import gather

        return gather(whole, place)


@component
class Aggregator:
    """What all aggregations have in common.

    Claims:
        one_at_a_time: it is meant for policies that merge each update alone.
        needs_base: it measures an update against the version that was downloaded, so that `Update.base` has
            to be given, and an update may be merged once only.
        disjoint: no two updates of an aggregation may train the same coordinate.
        keeps_untrained: a coordinate that nobody trained keeps its bits.
        papers: behind the rule.

    Attributes:
        weights: `samples` weighs a client by its samples, `equal` counts each client once.
        staleness: how much an update counts that was trained on an old version.
        server_optimizer: how far the model goes along what the updates propose; at its default, all the way.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    one_at_a_time: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False
    disjoint: ClassVar[bool] = False
    keeps_untrained: ClassVar[bool] = True

    weights: Literal["samples", "equal"] = "samples"
    staleness: Staleness = Constant()
    server_optimizer: ServerOptimizer = ServerSgd()

    def client_weight(self, samples: int) -> float:
        """c_i of a client with so many samples."""
        return float(samples) if self.weights == "samples" else 1.0

    def discounted(self, update: Update) -> float:
        """a_i of an update."""
        return update.weight * self.staleness.factor(update.staleness)

    def merge(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Change]:
        """What the updates together would do to each tensor that they trained."""
        raise NotImplementedError

    def aggregate(
        self, weights: Mapping[str, Tensor], updates: Iterable[Update], moments: Moments
    ) -> tuple[dict[str, Tensor], Moments]:
        """The next version of the model, and the next state of the server's optimiser.

        What goes in is left as it was; a coordinate that nobody trained keeps its bits (see
        `keeps_untrained`).

        Args:
            weights: the model before.
            updates: folded in the order in which they come; their memory may be reused once the next is asked
                for.
            moments: what the previous aggregation gave; empty at first.
        """
        return apply(self.server_optimizer, weights, self.merge(weights, updates), moments)
