"""Running sums over the updates of one aggregation: one pass, nothing kept per client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesim.aggregation._server_optimizer import Change

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.aggregation._aggregator import Update
    from edgesim.models._slicing import Place


@dataclass
class Sums:
    """How far all updates together moved the model, and how much weight moved it (symbols of `_aggregator`).

    Attributes:
        moved: sum of a_i m_i (w_i - what it is measured against), per tensor.
        covered: sum of m_i times what counts, per tensor; a number while every mask is whole.
        statistics: names of the tensors that are statistics.
    """

    moved: dict[str, Tensor] = field(default_factory=dict)
    covered: dict[str, Tensor | float] = field(default_factory=dict)
    statistics: set[str] = field(default_factory=set)
    _delta: dict[str, Tensor] = field(default_factory=dict)  # memory that every update reuses

    def add_all(self, weights: Mapping[str, Tensor], update: Update, weight: float) -> None:
        """Fold one update in, measured against the model before."""
        for name in update.values:
            self.add(weights[name], update, name, weight)

    def add(
        self,
        whole: Tensor,
        update: Update,
        name: str,
        weight: float,
        *,
        against: Tensor | None = None,
        counts: float | None = None,
    ) -> None:
        """Fold one tensor of an update in.

        Args:
            whole: the tensor in the model before.
            update: it.
            name: of the tensor.
            weight: what the difference is multiplied by.
            against: what the value is measured against, in its shape; the model before if absent.
            counts: what is added to `covered`; the weight if absent.
        """
        import torch

        place, mask = update.places.get(name), update.masks.get(name)
        base = update.held(name, whole) if against is None else against
        share: Tensor | float = weight if counts is None else counts
        if place is None:
            delta = self._delta[name] = torch.sub(update.values[name], base, out=self._delta.get(name))
        else:
            delta = update.values[name] - base
        if mask is not None:
            delta.mul_(mask)
            share = mask.to(delta.dtype).mul_(share)
        if place is None:
            self._fold_whole(name, delta, share, weight)
        else:
            self._fold_cut(whole, name, place, delta.mul_(weight), share)
        if name in update.statistics:
            self.statistics.add(name)

    def _fold_whole(self, name: str, delta: Tensor, share: Tensor | float, weight: float) -> None:
        if name in self.moved:
            self.moved[name].add_(delta, alpha=weight)
            self.covered[name] = self.covered[name] + share
        else:
            self.moved[name] = delta * weight
            self.covered[name] = share

    def _fold_cut(self, whole: Tensor, name: str, place: Place, delta: Tensor, share: Tensor | float) -> None:
        from edgesim.models._slicing import add_at

        moved = self.moved.setdefault(name, whole.new_zeros(whole.shape))
        covered = self.covered.get(name, 0.0)
        if isinstance(covered, float):
            covered = whole.new_full(whole.shape, covered)
        add_at(moved, place, delta)
        add_at(covered, place, delta.new_full(delta.shape, share) if isinstance(share, float) else share)
        self.covered[name] = covered

    def change(self, name: str, divisor: Tensor | float) -> Change:
        """The sum of what moved / divisor, where anybody trained the tensor."""
        covered = self.covered[name]
        trained = None if isinstance(covered, float) else covered > 0
        return Change(self.moved[name] / divisor, trained, is_statistic=name in self.statistics)
