"""What a strategy changes in a local training step. Frozen, without tensors of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    Forward = Callable[[Tensors, Tensor], Tensor]
    Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """Plain local training: the parameters as they are, the criterion on the network's output.

    All three functions are pure, hold no branch on a tensor and give shapes that depend on shapes alone: they
    are traced once and replayed. `aux` holds the tensors of one visit (a mask, an anchor) by name.
    """

    def view(self, params: Tensors, aux: Tensors) -> Tensors:  # noqa: ARG002  (a mask method reads aux)
        """The tensors that the network runs with, from those that are trained."""
        return params

    def loss(
        self,
        forward: Forward,
        tensors: Tensors,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        aux: Tensors,  # noqa: ARG002  (a method with absent classes reads aux)
        criterion: Criterion,
    ) -> Tensor:
        """Weighted loss of one batch; `weight` [batch] sums to one, zero marks padding."""
        return criterion(forward(tensors, x), y, weight)

    def project(self, params: Tensors, aux: Tensors) -> Tensors:  # noqa: ARG002
        """The parameters after an update, brought back to where they may be."""
        return params
