"""FedPMT (Wu et al., arXiv 2311.10002; algorithms 3.2): the whole forward pass, a backward pass cut short.

A device receives the whole model, trains the last `depth` layers, counted from the classifier, and sends them
back.

    L    number of layers       `len(structure.layers)`
    s    first trained layer    L - depth, counted from 0

Which layers matter most is an open question of the paper: they may also be the first ones, counted from the
input, or any, drawn anew for each visit. Where the classifier is not among them it keeps its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.errors import InputError, Problem
from edgesim.papers import FEDPMT
from edgesim.registry import component
from edgesim.submodels._submodel import Context, ScalarStrategy, Submodel
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

DEPTH_BYTES = 1  # the depth itself is sent along (algorithms 1.5)


@component
class FedPMT(ScalarStrategy):
    """The last layers, as many as the device can carry; it runs the others without training them.

    Batch norms: running statistics of trained layers are averaged with the parameters; frozen layers run with
    those of the model.

    Attributes:
        depth: trained layers on every device; absent: the fleet entry's `capacity`, or fitted per device.
        layers: which they are: the last ones, the first ones, or a fresh draw for each visit, charged in
            `fit` and `plan` as the last ones.
    """

    papers = (FEDPMT,)
    batch_norm: ClassVar[Literal["running", "recalibrated"]] = "running"
    number: ClassVar[str] = "depth"

    depth: Count | None = None
    layers: Literal["suffix", "prefix", "random"] = "suffix"

    @property
    def constant(self) -> bool:
        """Suffix and prefix follow from the depth."""
        return self.layers != "random"

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:
        """Every depth from one layer to all."""
        return tuple(float(depth) for depth in range(1, len(structure.layers) + 1))

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The layers of the device's depth.

        Raises:
            InputError: the depth is no whole number from 1 to the number of layers.
        """
        count = len(structure.layers)
        depth = context.capacity
        if depth is None or depth != int(depth) or not 1 <= depth <= count:
            message = f"must be a whole number from 1 to {count}, the layers of this model; got {depth}"
            raise InputError(Problem(message, "submodel.depth"))
        kind = "" if self.layers == "suffix" else f"{self.layers} "
        return Submodel(
            label=f"fedpmt {kind}depth {int(depth)}",
            capacity=depth,
            layers=self._layers(int(depth), count, context),
            mask_bytes=DEPTH_BYTES if self.layers != "random" else -(-count // 8),  # one bit per layer
        )

    def _layers(self, depth: int, count: int, context: Context) -> frozenset[int]:
        if self.layers == "prefix":
            return frozenset(range(depth))
        if self.layers == "random" and context.streams is not None:
            order = context.streams.generator("layers", context.device, context.visit).permutation(count)
            return frozenset(order[:depth].tolist())
        return frozenset(range(count - depth, count))
