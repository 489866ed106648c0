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
from typing import TYPE_CHECKING, Literal

from edgesim.registry import component

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Update:
    """What one client sends back.

    Attributes:
        values: the tensors that it trained, whole; tensors that are absent were not trained.
        weight: a_i > 0.
        masks: boolean tensors that say which coordinates of a value were trained; absent means all of them.
    """

    values: Mapping[str, Tensor]
    weight: float
    masks: Mapping[str, Tensor] = field(default_factory=dict)


@component
class Aggregator:
    """The four primitives of algorithms 1.6 share their parameters.

    Attributes:
        weights: `samples` weighs a client by its samples, `equal` counts each client once.
    """

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
        import torch

        self.total += update.weight
        for name, value in update.values.items():
            delta = torch.sub(value, weights[name], out=self._delta.get(name))
            self._delta[name] = delta
            mask = update.masks.get(name)
            share: Tensor | float = update.weight
            if mask is not None:
                delta.mul_(mask)
                share = mask.to(delta.dtype).mul_(update.weight)
            if name in self.moved:
                self.moved[name].add_(delta, alpha=update.weight)
                self.covered[name] = self.covered[name] + share
            else:
                self.moved[name] = delta * update.weight
                self.covered[name] = share

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
