"""What a strategy changes in a local training step. Frozen, without tensors of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.submodels._submodel import Submodel

    Tensors = Mapping[str, Tensor]
    Forward = Callable[[Tensors, Tensor], Tensor]
    Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


PRESENT = "present"
"""Name of the aux tensor [classes] that is 1 for each class that the device has samples of, else 0."""

MASK = "mask/"
"""Before the name of a parameter: the aux tensor in its shape that is 1 where it is held, else 0."""


@dataclass(frozen=True)
class Rule:
    """Plain local training: the parameters as they are, the criterion on the network's output.

    Claims:
        masks_classes: the rule reads `aux[PRESENT]`, and output rows of absent classes are not merged.

    `view`, `loss` and `project` are pure, hold no branch on a tensor and give shapes that depend on shapes
    alone: they are traced once and replayed. `aux` holds the tensors of one visit (a mask, an anchor) by
    name, and those that are drawn for each of its batches.
    """

    masks_classes: ClassVar[bool] = False

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:  # noqa: ARG002
        """The tensors of one visit that the other functions read, besides `PRESENT`.

        Args:
            submodel: of the visit.
            params: what is trained of it, for shapes, type and device.
        """
        return {}

    def draws(
        self,
        submodel: Submodel,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        generator: Callable[[], np.random.Generator],  # noqa: ARG002
    ) -> dict[str, NDArray[np.float64]]:
        """Numbers that change from batch to batch, [steps] each; in `aux` they are tensors without axes.

        Args:
            submodel: of the visit.
            steps: of the visit.
            generator: makes the visit's own generator, which costs as much as a small step.
        """
        return {}

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


@dataclass(frozen=True)
class Masked(Rule):
    """The network runs with the held coordinates alone (algorithms 1.2, 3.4, 3.7).

    The gradient outside the mask is exactly 0, and as a visit starts from values that are 0 there, they stay
    0 under momentum and weight decay.
    """

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:
        """The masks in the type of the parameters; none where everything is held."""
        if submodel.mask is None:
            return {}
        return {MASK + name: held.to(params[name].dtype) for name, held in submodel.mask.of(params).items()}

    def view(self, params: Tensors, aux: Tensors) -> Tensors:
        """What is held."""
        return {name: p * aux[MASK + name] if MASK + name in aux else p for name, p in params.items()}
