"""How far the updates of one aggregation disagree, in one pass and whatever the rule that merges.

With d_i = m_i (w_i - W) and a_i of `_aggregator`, and D = sum_i a_i d_i / sum_i a_i m_i their mean over those
who trained a coordinate:

    divergence = sqrt( sum_i a_i |m_i (d_i - D)|^2 / sum_i a_i |m_i D|^2 )

0 where all moved alike, 1 where they differ from their mean as much as it is long, and without bound where
they pull against each other. The sum above is worked out as sum_i a_i |d_i|^2 minus the sum below, so that no
update has to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesim.aggregation._sums import Sums

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.aggregation._aggregator import Update


@dataclass
class Divergence:
    """Accumulator over the updates of one aggregation; two models' memory, nothing per client."""

    _sums: Sums = field(default_factory=Sums)
    _squares: dict[str, Tensor] = field(default_factory=dict)  # sum_i a_i |d_i|^2 as float64
    _updates: int = 0

    def add(self, weights: Mapping[str, Tensor], update: Update, weight: float) -> None:
        """See one update pass.

        Args:
            weights: the model before.
            update: it.
            weight: a_i.
        """
        import torch

        self._updates += 1
        for name in update.values:
            weighted = self._sums.add(weights[name], update, name, weight)
            square = weighted.square_().sum(dtype=torch.float64) / weight
            self._squares[name] = self._squares.get(name, 0.0) + square

    def result(self, groups: Mapping[str, Sequence[str]]) -> dict[str, float | None]:
        """Divergence per group of tensors; null where the updates have no mean direction, or there are none.

        What the precision of the tensors cannot tell from none counts as none.

        Args:
            groups: names of the tensors of each group, those that nobody trained among them.
        """
        return {
            group: self._of([name for name in names if name in self._squares])
            for group, names in groups.items()
        }

    def _of(self, names: Sequence[str]) -> float | None:
        import torch

        if not names:
            return None
        squares = sum(float(self._squares[name]) for name in names)
        shared = sum(self._shared(name) for name in names)
        rounding = 4 * self._updates * torch.finfo(self._sums.moved[names[0]].dtype).eps
        if shared <= rounding**2 * squares:
            return None
        apart = squares - shared
        return math.sqrt(apart / shared) if apart > rounding * squares else 0.0

    def _shared(self, name: str) -> float:
        """sum_i a_i |m_i D|^2 of one tensor."""
        import torch

        moved, covered = self._sums.moved[name], self._sums.covered[name]
        if not isinstance(covered, float):
            covered = covered.clamp(min=torch.finfo(covered.dtype).tiny)  # nothing moved where nobody trained
        return float(moved.square().div_(covered).sum(dtype=torch.float64))
