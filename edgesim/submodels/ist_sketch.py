"""Independent subnet training as theory has it: sketched coordinates (arXiv 2306.16484; algorithms 3.5).

Client i of n works on C_i x instead of x, with C_i a diagonal matrix, zero where it holds nothing:

    x_i = x - gamma C_i grad f_i(C_i x)        one local step
    x+  = mean of the x_i                      `fill`, the default

permutation     C_i = n P_i: the coordinates are dealt to the n clients anew in each version, in blocks that
                differ by one coordinate at most (Perm-q; q = d/n)
preconditioned  C_i = sqrt(n) D_i^-1/2 P_i of the same blocks, D_i being the diagonal of L_i (`model: vector`)
identity        C_i = I: gradient descent
random          C_i = d/q R_i: every client draws as many coordinates, d/n rounded up, by itself (Rand-q)

Where the mean of the C_i is I (identity, permutation) that is the paper's algorithm; where it is not, this
is what its section on them analyses: the mean of the sketched gradients, taken from x. Several local steps of
the paper's algorithm with `permutation`, where each client moves C_i x itself, are `aggregation: covered` and
a learning rate of gamma / n.

`of: gradient` sketches the gradient alone, C_i grad f_i(x), as methods that compress what they send do: the
client holds the whole model and sends back what it drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.papers import IST_THEORY
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.submodels._drawn import maskable
from edgesim.submodels._rule import Masked, Rule
from edgesim.submodels._submodel import Context, Floats, Mask, Submodel, SubmodelStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._structure import ModelStructure
    from edgesim.submodels._rule import Criterion, Forward, Tensors

SEED_BYTES = 8  # the server draws from a seed, and sends it along (algorithms 1.5)


@dataclass(frozen=True)
class Scaled(Masked):
    """The network runs with C_i x, so that the gradient of x is C_i grad f_i(C_i x)."""

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:
        """The diagonal of C_i."""
        scale = 1.0 if submodel.mask is None else 1 / submodel.mask.density
        return {name: held * scale for name, held in super().aux(submodel, params).items()}


@dataclass(frozen=True)
class Compressed(Scaled):
    """The network runs with x, and the gradient of x is C_i grad f_i(x)."""

    def view(self, params: Tensors, aux: Tensors) -> Tensors:
        """What has the value of x and moves as C_i x does."""
        moving = super().view(params, aux)
        return {name: moving[name] + (p - moving[name]).detach() for name, p in params.items()}


@dataclass(frozen=True)
class Preconditioned(Masked):
    """The same with D_i^-1/2, which all samples of a client share."""

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:
        """The diagonal of sqrt(n) P_i."""
        scale = 1.0 if submodel.mask is None else submodel.mask.density**-0.5
        return {name: held * scale for name, held in super().aux(submodel, params).items()}

    def loss(
        self,
        forward: Forward,
        tensors: Tensors,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        aux: Tensors,  # noqa: ARG002
        criterion: Criterion,
    ) -> Tensor:
        """The value at what is viewed, divided by the square roots of the diagonal."""
        import torch

        from edgesim.models.vector import curvature

        scale = (weight @ curvature(x)).rsqrt()
        pieces = torch.split(scale, [p.shape[-1] for p in tensors.values()])
        scaled = {name: p * piece for (name, p), piece in zip(tensors.items(), pieces, strict=True)}
        return criterion(forward(scaled, x), y, weight)


@component
class IstSketch(SubmodelStrategy):
    """Independent subnet training as theory has it: sketched coordinates on each device of a round.

    Attributes:
        sketch: which C_i.
        of: what is sketched: the model and with it the gradient, or the gradient alone.
    """

    papers = (IST_THEORY,)
    full_is_fedavg: ClassVar[bool] = False
    disjoint: ClassVar[bool] = True
    aggregation: ClassVar[str] = "fill"
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"

    sketch: Literal["permutation", "preconditioned", "identity", "random"] = "permutation"
    of: Literal["model", "gradient"] = "model"

    def __post_init__(self) -> None:
        if self.of == "gradient" and self.sketch == "preconditioned":
            raise ValueError("preconditioned is a sketch of the model; use permutation, random or identity")

    @property
    def rule(self) -> Rule:
        """The network runs with what the sketch leaves, unless that is about the gradient."""
        if self.of == "gradient":
            return Compressed()
        return Preconditioned() if self.sketch == "preconditioned" else Scaled()

    @property
    def needs_functions(self) -> bool:
        """The diagonals D_i are read from the samples."""
        return self.sketch == "preconditioned"

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """Nothing can be chosen: what a device holds follows from how many leave with it."""
        return (1.0,)

    def fixed_capacity(self) -> float:
        """The same for all."""
        return 1.0

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The coordinates of one client."""
        label = f"ist_sketch {self.sketch} 1 of {context.together}"
        drawn = self.sketch != "identity" and context.together > 1
        return Submodel(
            label=label,
            capacity=1.0,
            layers=structure.all_layers,
            mask_bytes=SEED_BYTES if drawn else 0,
            mask=self._mask(maskable(structure), context) if drawn else None,
            holds_all=self.of == "gradient",
            name=f"{label}, number {context.place}" if drawn else None,
        )

    def expected_step(self, curvatures: Floats, offsets: Floats) -> tuple[Floats, Floats] | None:
        """Means of C_i A_i C_i (C_i A_i where the gradient alone is sketched) and of C_i b_i.

        A client draws q of d coordinates, any of them as likely as another: one with the chance q/d, two
        together with the chance q/d (q - 1)/(d - 1). Null where blocks are not equally large, as who gets a
        larger one is up to the order in which clients are sent out.
        """
        clients, size = offsets.shape
        drawn = math.ceil(size / clients)
        if self.sketch == "identity":
            return curvatures, offsets
        if self.sketch != "random" and drawn * clients != size:
            return None
        one = drawn / size
        diagonals = np.einsum("ijj->ij", curvatures)
        scale = (
            np.sqrt(clients / diagonals)
            if self.sketch == "preconditioned"
            else np.full_like(offsets, 1 / one)
        )
        sent = one * scale * offsets
        if self.of == "gradient":
            return one * scale[:, :, None] * curvatures, sent
        chances = np.full((size, size), one * (drawn - 1) / max(size - 1, 1))
        np.fill_diagonal(chances, one)
        return chances * scale[:, :, None] * curvatures * scale[:, None, :], sent

    def _mask(self, shapes: Mapping[str, tuple[int, ...]], context: Context) -> Mask:
        sizes = [math.prod(shape) for shape in shapes.values()]
        held = np.zeros(sum(sizes), dtype=bool)
        held[self._coordinates(held.size, context)] = True
        pieces = np.split(held, np.cumsum(sizes)[:-1])
        density = held.mean() if self.sketch == "random" else 1 / context.together
        return Mask(
            float(density),
            {name: int(piece.sum()) for name, piece in zip(shapes, pieces, strict=True)},
            _shaped(dict(zip(shapes, pieces, strict=True)), shapes),
        )

    def _coordinates(self, size: int, context: Context) -> NDArray[np.int64]:
        streams = context.streams or Streams(0)
        if self.sketch == "random":
            order = streams.generator("sketch", context.device, context.visit).permutation(size)
            return order[: math.ceil(size / context.together)]
        order = streams.generator("sketch", context.version).permutation(size)
        return np.array_split(order, context.together)[context.place]


def _shaped(
    pieces: Mapping[str, NDArray[np.bool_]], shapes: Mapping[str, tuple[int, ...]]
) -> Callable[[], Mapping[str, NDArray[np.bool_]]]:
    return lambda: {name: piece.reshape(shapes[name]) for name, piece in pieces.items()}
