"""Random Bernoulli masking (arXiv 2511.06132, its first algorithm; algorithms 3.4 A).

    p    probability of each coordinate, or of each unit    `density`

A mask is drawn for each device and visit; the server draws it from a seed and sends the seed along. Hidden
activations are divided by p in training, so that the whole network can be evaluated unscaled: the paper's
experiments do so, its theory does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.papers import SUBMODEL_STABILITY
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.submodels._drawn import drawn_cut, drawn_name, maskable
from edgesim.submodels._rule import Masked, Rule
from edgesim.submodels._submodel import Context, Cut, Floats, Mask, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

SEED_BYTES = 8  # algorithms 1.5


@component
class RandomMask(ScalarStrategy):
    """Random coordinates, or random units, as many as the device can carry.

    Attributes:
        density: p on every device; absent: the fleet entry's `capacity`, or fitted per device.
        unit: `element` draws every weight and bias by itself: it saves bytes, the arithmetic stays dense.
            `unit` draws every hidden unit by itself, at least one of each layer: the network gets smaller,
            and as its widths change from visit to visit each combination is traced anew, which takes time.
        scaler: whether hidden activations are divided by p in training.
    """

    papers = (SUBMODEL_STABILITY,)
    number: ClassVar[str] = "density"
    aggregation: ClassVar[str] = "fill"
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"

    density: Fraction | None = None
    unit: Literal["element", "unit"] = "element"
    scaler: bool = True

    @property
    def rule(self) -> Rule:
        """The network runs with what is held."""
        return Masked()

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """A fresh draw; where only costs are asked for, one of the expected size."""
        density = self.share_of(context)
        cut, mask = (None, None) if density == 1 else self._drawn(structure, density, context)
        label = f"random_mask density {density:g}"
        return Submodel(
            label=label,
            capacity=density,
            layers=structure.all_layers,
            mask_bytes=0 if mask is None else SEED_BYTES,  # a small dense network needs no description
            cut=cut,
            mask=mask,
            scaler=self.scaler,
            name=drawn_name(label, context),
        )

    def expected_step(self, curvatures: Floats, offsets: Floats) -> tuple[Floats, Floats] | None:
        """p^2 A_i + p (1 - p) D_i, D_i being the diagonal of A_i, and p b_i (algorithms 3.4).

        Null with the scaler, for units, and where devices have densities of their own.
        """
        if self.density is None or self.unit != "element" or self.scaler:
            return None
        p, diagonal = self.density, np.eye(offsets.shape[1])
        return p * (p + (1 - p) * diagonal) * curvatures, p * offsets

    def _drawn(
        self, structure: ModelStructure, density: float, context: Context
    ) -> tuple[Cut | None, Mask | None]:
        if self.unit == "unit":
            return drawn_cut(structure.units, density, context, exact=False), None
        return None, _drawn_mask(maskable(structure), density, context)


def _drawn_mask(shapes: Mapping[str, tuple[int, ...]], density: float, context: Context) -> Mask:
    """Independent coordinates: how many of each tensor is drawn at once, and which when somebody asks."""
    streams = context.streams
    sizes = [math.prod(shape) for shape in shapes.values()]
    if streams is None:
        counts = [round(size * density) for size in sizes]
    else:
        drawn = streams.generator("mask counts", context.device, context.visit)
        counts = drawn.binomial(sizes, density).tolist()

    def make() -> dict[str, NDArray[np.bool_]]:
        generator = (streams or Streams(0)).generator("mask", context.device, context.visit)
        held = {}
        for (name, shape), size, count in zip(shapes.items(), sizes, counts, strict=True):
            flat = np.arange(size) < count
            generator.shuffle(flat)
            held[name] = flat.reshape(shape)
        return held

    return Mask(density, dict(zip(shapes, counts, strict=True)), make)
