"""Shuffled rolling masking (arXiv 2511.06132, its second algorithm; algorithms 3.4 B).

    R      number of blocks            1 / `density`
    epoch  R visits of one device

The coordinates of each device are dealt to R blocks once, at random. In every epoch the device trains each
block in one visit, in a fresh order. Blocks advance with the visits of the device, not with rounds, so that
each coordinate is trained once per R visits also where few devices take part in a round (algorithms 7b).
Partitions and orders are drawn again from their streams whenever they are needed: nothing is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem
from edgesim.papers import SUBMODEL_STABILITY
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.submodels._drawn import drawn_name, maskable
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._rule import Masked, Rule
from edgesim.submodels._submodel import Context, Cut, Mask, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure
    from edgesim.models._units import UnitLayout

BLOCK_BYTES = 4  # the number of the block is sent along (algorithms 1.5)

_TOLERANCE = 0.01  # of a density: 0.333 means 1/3


@component
class RollingMask(ScalarStrategy):
    """One block of coordinates after the other, or one block of units.

    Attributes:
        density: 1/R on every device; absent: the fleet entry's `capacity`, or fitted per device.
        unit: `element` deals out every weight and bias, so that blocks are equally large within one;
            `unit` deals out the hidden units of each layer, so that the network gets smaller. A layer with
            fewer units than R puts one in each block, and its units come up more than once per epoch.
        layer_independent: whether each hidden layer has an order of its own, where units are dealt out.
            Without it the same blocks of two neighbouring layers always meet, and of the weights between
            them a device never trains the share 1 - 1/R.
        scaler: whether hidden activations are divided by 1/R in training.
    """

    papers = (SUBMODEL_STABILITY,)
    exact_coverage: ClassVar[bool] = True
    number: ClassVar[str] = "density"
    aggregation: ClassVar[str] = "fill"
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"

    density: Fraction | None = None
    unit: Literal["element", "unit"] = "element"
    layer_independent: bool = True
    scaler: bool = True

    @property
    def rule(self) -> Rule:
        """The network runs with what is held."""
        return Masked()

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The block of this visit.

        Raises:
            InputError: the density is not 1/R for a whole number R.
        """
        density = self.share_of(context)
        blocks = self._blocks(density)
        cut, mask = (None, None) if blocks == 1 else self._dealt(structure, blocks, context)
        label = f"rolling_mask density 1/{blocks}"
        return Submodel(
            label=label,
            capacity=density,
            layers=structure.all_layers,
            mask_bytes=BLOCK_BYTES if blocks > 1 else 0,
            cut=cut,
            mask=mask,
            scaler=self.scaler,
            name=drawn_name(label, context),
        )

    def _blocks(self, density: float) -> int:
        blocks = round(1 / density)
        if abs(density * blocks - 1) > _TOLERANCE:
            near = f"1/{blocks} is {1 / blocks:.4g}"
            message = f"must be 1 divided by a whole number of blocks; {near}, got {density:g}"
            raise InputError(Problem(message, f"submodel.{self.number}"))
        return blocks

    def _dealt(
        self, structure: ModelStructure, blocks: int, context: Context
    ) -> tuple[Cut | None, Mask | None]:
        if self.unit == "unit":
            return self._block_of_units(structure.units, blocks, context), None
        return None, _block_of_elements(maskable(structure), blocks, context)

    def _block_of_units(self, layout: UnitLayout, blocks: int, context: Context) -> Cut:
        if context.streams is None:
            return prefix_cut(layout, 1 / blocks)
        kept = []
        for number, group in enumerate(layout.groups):
            block = _block(context.streams, blocks, context, number if self.layer_independent else 0)
            dealt = context.streams.generator("dealt units", context.device, blocks, number)
            units = dealt.permutation(group.size)[block % group.size :: blocks]
            kept.append(np.sort(units))
        return Cut(tuple(kept), (1 / blocks,) * len(kept))


def _block(streams: Streams, blocks: int, context: Context, layer: int) -> int:
    """The block of a visit in the order of its epoch."""
    epoch, place = divmod(context.visit, blocks)
    order = streams.generator("order of blocks", context.device, blocks, epoch, layer).permutation(blocks)
    return int(order[place])


def _block_of_elements(shapes: Mapping[str, tuple[int, ...]], blocks: int, context: Context) -> Mask:
    """The coordinates of one block.

    Labels 0, 1, .., R - 1, 0, 1, .. run through the whole model and are shuffled within each tensor: blocks
    are equally large within one, and how much of each tensor they hold is known without a draw.
    """
    streams = context.streams or Streams(0)
    block = _block(streams, blocks, context, 0)
    sizes = [math.prod(shape) for shape in shapes.values()]
    offsets = np.cumsum([0, *sizes[:-1]])
    labels = np.min_scalar_type(blocks - 1)

    def make() -> dict[str, NDArray[np.bool_]]:
        generator = streams.generator("dealt elements", context.device, blocks)
        held = {}
        for (name, shape), size, offset in zip(shapes.items(), sizes, offsets, strict=True):
            dealt = ((np.arange(size) + offset) % blocks).astype(labels)
            generator.shuffle(dealt)
            held[name] = (dealt == block).reshape(shape)
        return held

    labelled = zip(shapes, sizes, offsets.tolist(), strict=True)
    kept = {name: len(range((block - offset) % blocks, size, blocks)) for name, size, offset in labelled}
    return Mask(1 / blocks, kept, make)
