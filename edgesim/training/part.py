"""What a sub-model holds, prepared once: its network, and where its tensors lie in the whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgesim.models._slicing import Place, Slicer, make_slicer
from edgesim.models._structure import ModelStructure
from edgesim.submodels._submodel import Submodel

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """What is the same for all visits with one sub-model.

    Attributes:
        network: the architecture of what is held.
        trained: names of the parameters that are trained, in the network's order.
        frozen: names of those that are only run.
        buffers: names of all buffers.
        merged: names of the buffers that are sent back: statistics of trained layers.
        slicer: where the tensors lie in the whole model's; null where all is held.
    """

    network: nn.Module
    trained: Sequence[str]
    frozen: Sequence[str]
    buffers: Sequence[str]
    merged: Sequence[str]
    slicer: Slicer | None

    @property
    def places(self) -> Mapping[str, Place]:
        """Places of the tensors that are cut."""
        return {} if self.slicer is None else self.slicer.places

    def take(self, names: Sequence[str], weights: Tensors) -> dict[str, Tensor]:
        """The held values of these tensors."""
        if self.slicer is None:
            return {name: weights[name] for name in names}
        return {name: self.slicer.take(name, weights[name]) for name in names}

    def statistics(self, buffers: Tensors) -> dict[str, Tensor]:
        """The floating-point statistics that are sent back; counters are skipped (algorithms 1.6)."""
        return {name: buffers[name] for name in self.merged if buffers[name].is_floating_point()}


def make_part(whole: ModelStructure, held: ModelStructure, submodel: Submodel, device: str) -> Part:
    """Prepare a sub-model.

    Args:
        whole: structure of the whole model.
        held: structure of what is held.
        submodel: what is trained of it.
        device: where training runs.
    """
    first = submodel.first_layer
    trained = set(held.trained_tensors(first))
    names = [name for name, _ in held.network.named_parameters()]
    return Part(
        network=held.network,
        trained=[name for name in names if name in trained],
        frozen=[name for name in names if name not in trained],
        buffers=[name for name, _ in held.network.named_buffers()],
        merged=[name for layer in held.layers[first:] for name in layer.buffers],
        slicer=None if submodel.cut is None else make_slicer(whole.units, submodel.cut.kept, device),
    )
