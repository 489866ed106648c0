"""How updates become the next version of the model: one pass, in dispatch order, nothing kept per client.

Symbols of algorithms 1.6:

    W     the model before            `weights`
    w_i   what client i returned      `update.values`
    m_i   where client i trained      `update.masks` (absent: the whole tensor)
    a_i   weight of client i          `update.weight`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._slicing import Place


@dataclass(frozen=True)
class Update:
    """What one client sends back.

    Attributes:
        values: the tensors that it trained, whole; tensors that are absent were not trained.
        weight: a_i > 0.
        masks: boolean tensors that say which coordinates of a value were trained; absent means all of them.
        places: where a value lies in the model's tensor, if it is a cut of it; absent means it is whole.
    """

    values: Mapping[str, Tensor]
    weight: float
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)


@component
class Aggregator:
    """The four primitives of algorithms 1.6 share their parameters.

    Claims:
        one_at_a_time: it is meant for policies that merge each update alone.
        needs_base: it measures an update against the version that was downloaded, so that `Update.base` has
            to be given, and an update may be merged once only.
        disjoint: no two updates of an aggregation may train the same coordinate.

    Attributes:
        weights: `samples` weighs a client by its samples, `equal` counts each client once.
    """

    one_at_a_time: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False
    disjoint: ClassVar[bool] = False

    weights: Literal["samples", "equal"] = "samples"

    def client_weight(self, samples: int) -> float:
        """a_i of a client with so many samples."""
        return float(samples) if self.weights == "samples" else 1.0

    def aggregate(self, weights: Mapping[str, Tensor], updates: Iterable[Update]) -> dict[str, Tensor]:
        """The next version of the model; what goes in is left as it was."""
        raise NotImplementedError


@dataclass
class Sums:
    """Running sums over the updates of one aggregation.

    Attributes:
        moved: sum of a_i m_i (w_i - W) per tensor.
        covered: sum of a_i m_i per tensor; a number while every mask is whole.
        total: sum of a_i.
    """

    moved: dict[str, Tensor] = field(default_factory=dict)
    covered: dict[str, Tensor | float] = field(default_factory=dict)
    total: float = 0.0
    _delta: dict[str, Tensor] = field(default_factory=dict)  # memory that every update reuses

    def add(self, weights: Mapping[str, Tensor], update: Update) -> None:
        """Fold one update in."""
        self.total += update.weight
        for name, value in update.values.items():
            place, mask = update.places.get(name), update.masks.get(name)
            if place is None:
                self._add_whole(weights[name], name, value, mask, update.weight)
            else:
                self._add_cut(weights[name], name, value, place, mask, update.weight)

    def _add_whole(
        self, before: Tensor, name: str, value: Tensor, mask: Tensor | None, weight: float
    ) -> None:
        import torch

        delta = torch.sub(value, before, out=self._delta.get(name))
        self._delta[name] = delta
        share: Tensor | float = weight
        if mask is not None:
            delta.mul_(mask)
            share = mask.to(delta.dtype).mul_(weight)
        if name in self.moved:
            self.moved[name].add_(delta, alpha=weight)
            self.covered[name] = self.covered[name] + share
        else:
            self.moved[name] = delta * weight
            self.covered[name] = share

    def _add_cut(
        self, before: Tensor, name: str, value: Tensor, place: Place, mask: Tensor | None, weight: float
    ) -> None:
        from edgesim.models._slicing import add_at, gather

        delta = (value - gather(before, place)).mul_(weight)
        share = delta.new_full(delta.shape, weight)
        if mask is not None:
            delta.mul_(mask)
            share.mul_(mask)
        moved = self.moved.setdefault(name, before.new_zeros(before.shape))
        covered = self.covered.get(name, 0.0)
        if isinstance(covered, float):
            covered = before.new_full(before.shape, covered)
        add_at(moved, place, delta)
        add_at(covered, place, share)
        self.covered[name] = covered

    def step(self, weights: Mapping[str, Tensor], name: str, divisor: Tensor | float) -> Tensor:
        """W + moved / divisor; where nobody trained it is W, bit for bit."""
        import torch

        before = weights[name]
        after = before + self.moved[name] / divisor
        covered = self.covered[name]
        return after if isinstance(covered, float) else torch.where(covered > 0, after, before)


def sums_of(weights: Mapping[str, Tensor], updates: Iterable[Update]) -> Sums:
    """Fold all updates, in the order in which they come."""
    sums = Sums()
    for update in updates:
        sums.add(weights, update)
    return sums
