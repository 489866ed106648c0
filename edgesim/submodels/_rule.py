"""What a strategy changes in a local training step. Frozen, without tensors of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    Forward = Callable[[Tensors, Tensor], Tensor]
    Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


PRESENT = "present"
"""Name of the aux tensor [classes] that is 1 for each class that the device has samples of, else 0."""


@dataclass(frozen=True)
class Rule:
    """Plain local training: the parameters as they are, the criterion on the network's output.

    Claims:
        masks_classes: the rule reads `aux[PRESENT]`, and output rows of absent classes are not merged.

    All three functions are pure, hold no branch on a tensor and give shapes that depend on shapes alone: they
    are traced once and replayed. `aux` holds the tensors of one visit (a mask, an anchor) by name.
    """

    masks_classes: ClassVar[bool] = False

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


@dataclass(frozen=True)
class PresentClasses(Rule):
    """Masked cross-entropy (HeteroFL; algorithms 3.8): logits of classes that the device lacks count as 0."""

    masks_classes: ClassVar[bool] = True

    def loss(
        self,
        forward: Forward,
        tensors: Tensors,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        aux: Tensors,
        criterion: Criterion,
    ) -> Tensor:
        """Weighted loss of the masked logits."""
        return criterion(forward(tensors, x) * aux[PRESENT], y, weight)
