"""Running sums over the updates of one aggregation: one pass, nothing kept per client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesim.aggregation._server_optimizer import Change

if TYPE_CHECKING:
    import torch
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
    _memory: dict[tuple[str, torch.Size, torch.dtype], Tensor] = field(default_factory=dict)

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
    ) -> Tensor:
        """Fold one tensor of an update in.

        Args:
            whole: the tensor in the model before.
            update: it.
            name: of the tensor.
            weight: what the difference is multiplied by.
            against: what the value is measured against, in its shape; the model before if absent.
            counts: what is added to `covered`; the weight if absent.

        Returns:
            weight m_i (w_i - what it is measured against), in the value's shape and in memory that is reused.
        """
        import torch

        from edgesim.models._slicing import add_at

        values, place, mask = update.values[name], update.places.get(name), update.masks.get(name)
        base = update.held(name, whole) if against is None else against
        delta = torch.sub(values, base, out=self._reused("delta", values))
        trained = None
        if mask is not None:
            # As bytes: torch turns these into floats eight times as fast as booleans.
            trained = self._reused("trained", values).copy_(mask.view(torch.uint8))
            delta.mul_(trained)
        if name not in self.moved:
            self.moved[name] = torch.zeros_like(whole)
        add_at(self.moved[name], place, delta.mul_(weight))
        self._count(whole, name, place, trained, weight if counts is None else counts)
        if name in update.statistics:
            self.statistics.add(name)
        return delta

    def _count(
        self, whole: Tensor, name: str, place: Place | None, trained: Tensor | None, count: float
    ) -> None:
        """Add the count to `covered` at the place, where `trained` is 1."""
        import torch

        from edgesim.models._slicing import add_at

        covered = self.covered.get(name, 0.0)
        if isinstance(covered, float):
            if place is None and trained is None:
                self.covered[name] = covered + count
                return
            covered = self.covered[name] = torch.full_like(whole, covered)
        add_at(covered, place, whole.new_tensor(count) if trained is None else trained.mul_(count))

    def _reused(self, role: str, like: Tensor) -> Tensor:
        """Memory for one tensor of this shape, with what the tensor or update before it left there."""
        key = (role, like.shape, like.dtype)
        if key not in self._memory:
            self._memory[key] = like.new_empty(like.shape)
        return self._memory[key]

    def change(self, name: str, divisor: Tensor | float) -> Change:
        """The sum of what moved / divisor, where anybody trained the tensor; the sum's memory is used up."""
        covered = self.covered[name]
        trained = None if isinstance(covered, float) else covered > 0
        return Change(self.moved.pop(name).div_(divisor), trained, is_statistic=name in self.statistics)
