"""FjORD (Horvath et al., NeurIPS 2021; algorithms 3.10): ordered dropout within the width of a device.

A device holds the first channels of every layer. Each batch trains fewer of them: those of a level, drawn
uniformly from the levels that the device can carry. So the first channels learn to do without the others.

    P        the levels                                   `levels`
    p_max    width that a device holds, one of them       `width`
    p        level of a batch, at most p_max              the drawn number `LEVEL`, counted from 0

The network of level p runs within that of p_max: the coordinates of the units that it lacks are zero. Group
norms and layer norms still normalise over all channels of p_max, zeros included. What a batch leaves out has
no gradient; momentum and weight decay act on all of p_max, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from edgesim.errors import InputError, Problem
from edgesim.papers import FJORD
from edgesim.registry import component
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._rule import Rule
from edgesim.submodels._submodel import Context, Nest, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction, ascending

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._structure import ModelStructure
    from edgesim.models._units import UnitLayout
    from edgesim.submodels._rule import Criterion, Forward, Tensors

LEVEL = "level"
"""Name of the aux number that says which level a batch runs."""


@dataclass(frozen=True)
class OrderedDropout(Rule):
    """Each batch runs the network of the level that was drawn for it.

    With self-distillation the whole held network runs too, and its outputs teach the smaller one:
    loss = CE(net(p_max), y) + CE(net(p), softmax(net(p_max)).detach()).

    Attributes:
        distill: whether it does.
    """

    distill: bool = False

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:
        """Per tensor and dimension, the first level that has each coordinate, shaped to broadcast."""
        import torch

        assert submodel.nest is not None
        made = {}
        for name, p in params.items():
            for dim, first in enumerate(submodel.nest.first.get(name, ())):
                if first is not None:
                    shape = [-1 if axis == dim else 1 for axis in range(p.dim())]
                    made[_first(name, dim)] = torch.from_numpy(first).to(p.device, p.dtype).reshape(shape)
        return made

    def draws(
        self, submodel: Submodel, steps: int, generator: Callable[[], np.random.Generator]
    ) -> dict[str, NDArray[np.float64]]:
        """A level for each batch."""
        assert submodel.nest is not None
        return {LEVEL: generator().integers(submodel.nest.levels, size=steps).astype(np.float64)}

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
        """Weighted loss of the level's network, and of the whole one where it distils."""
        nested = forward(_at_level(tensors, aux), x)
        if not self.distill:
            return criterion(nested, y, weight)
        whole = forward(tensors, x)
        taught = -(whole.detach().softmax(-1) * nested.log_softmax(-1)).sum(-1)
        return criterion(whole, y, weight) + (taught.reshape(len(x), -1).mean(-1) * weight).sum()


def _at_level(tensors: Tensors, aux: Tensors) -> Tensors:
    """The tensors with zeros where the level of this batch has no coordinate."""
    nested = dict(tensors)
    for name, tensor in tensors.items():
        for dim in range(tensor.dim()):
            if _first(name, dim) in aux:
                nested[name] = nested[name] * (aux[_first(name, dim)] <= aux[LEVEL])
    return nested


def _first(name: str, dim: int) -> str:
    return f"first/{dim}/{name}"


@component
class FjORD(ScalarStrategy):
    """The first channels of every hidden layer, fewer of them in most batches.

    Batch norms: recalibrated before each evaluation, at each width anew.

    Attributes:
        width: p_max on every device; absent: the fleet entry's `capacity`, or fitted per device.
        levels: widths that a device may hold, and that its batches are drawn from.
        distill: whether the network of p_max teaches the smaller one in each batch, which costs a training
            step of p_max besides.
    """

    papers = (FJORD,)
    full_is_fedavg: ClassVar[bool] = False  # with `levels: [1]` it is
    nested: ClassVar[bool] = True
    number: ClassVar[str] = "width"

    width: Fraction | None = None
    levels: Annotated[tuple[Fraction, ...], Field(min_length=1), AfterValidator(ascending)] = (
        0.2,
        0.4,
        0.6,
        0.8,
        1.0,
    )
    distill: bool = False

    @property
    def rule(self) -> Rule:
        """Ordered dropout."""
        return OrderedDropout(self.distill)

    @property
    def constant(self) -> bool:
        """The prefix of a width and the levels within are always the same."""
        return True

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """The levels."""
        return self.levels

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The prefix of the device's width, with the levels up to there.

        Raises:
            InputError: the width is none of the levels.
        """
        width = context.capacity
        if width not in self.levels:
            named = ", ".join(f"{level:g}" for level in self.levels)
            raise InputError(Problem(f"must be one of the levels {named}; got {width}", "submodel.width"))
        levels = self.levels[: self.levels.index(width) + 1]
        parts = [_of_width(structure, level) for level in levels]
        runs = [(1 / len(parts), part) for part in parts]
        if self.distill:
            runs.append((1.0, parts[-1]))
        return replace(parts[-1], nest=Nest(len(parts), _first_levels(structure.units, levels), tuple(runs)))


def _of_width(structure: ModelStructure, width: float) -> Submodel:
    return Submodel(
        label=f"fjord width {width:g}",
        capacity=width,
        layers=structure.all_layers,
        cut=None if width == 1 else prefix_cut(structure.units, width),
        share=width**2,
    )


def _first_levels(
    layout: UnitLayout, levels: tuple[float, ...]
) -> dict[str, tuple[NDArray[np.int64] | None, ...]]:
    """Per tensor and dimension of the last level's network, the first level that has each coordinate."""
    from edgesim.models._units import NEVER

    held = [layout.kept(prefix_cut(layout, level).kept) for level in levels]
    without = np.sum([~kept for kept in held], axis=0)  # how many levels lack a unit, [units]
    first: dict[str, tuple[NDArray[np.int64] | None, ...]] = {}
    for name, dims in layout.places.items():
        index = layout.index(name, held[-1])
        levels_of = [
            None if owners is None else np.where(owners == NEVER, 0, without[owners])[kept]
            for owners, kept in zip(dims, index, strict=True)
        ]
        first[name] = tuple(None if level is None or not level.any() else level for level in levels_of)
    return first
