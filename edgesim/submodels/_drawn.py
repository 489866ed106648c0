"""What is drawn anew for each visit: random units of every group, and whatever random coordinates share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgesim.submodels._prefix import widths
from edgesim.submodels._submodel import Context, Cut

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure
    from edgesim.models._units import UnitLayout


def drawn_cut(
    layout: UnitLayout, rate: float | Sequence[float], context: Context, *, exact: bool = True
) -> Cut:
    """Random units of each group for one visit; the first ones where only its cost is asked for.

    Of one visit, the units of a smaller rate are among those of a larger one if their number is exact.

    Args:
        layout: of the units.
        rate: share of the units to keep, of all groups alike or per group.
        context: of the visit.
        exact: whether ceil(units x rate) units of a group are kept, at least one; otherwise each is kept by
            itself with the rate as its probability, and at least one in the end.
    """
    rates = (rate,) * len(layout.groups) if isinstance(rate, float) else tuple(rate)
    counts = widths(layout, rates)
    if context.streams is None:
        return Cut(tuple(np.arange(count) for count in counts), rates)
    generator = context.streams.generator("units", context.device, context.visit)
    sizes = [group.size for group in layout.groups]
    if not exact:  # so many of independent units are kept, and given how many, any of them
        counts = tuple(np.maximum(1, generator.binomial(sizes, rates)).tolist())
    orders = [generator.permutation(size) for size in sizes]
    return Cut(tuple(np.sort(order[:n]) for order, n in zip(orders, counts, strict=True)), rates)


def drawn_name(label: str, context: Context) -> str:
    """Name of what no other visit holds."""
    return f"{label}, device {context.device}, visit {context.visit}"


def maskable(structure: ModelStructure) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that an element mask thins out: weights and biases of all layers.

    The theory masks every coordinate (algorithms 3.4), so biases and the output layer too: with a bias held
    whole the scaler would multiply it. What only joins a layer is held whole: a norm's weight of zero would
    silence a channel altogether, and what the scaler does before a norm cannot make up for it.
    """
    return {name: structure.shapes[name] for layer in structure.layers for name in layer.own_tensors}
