"""What a sub-model holds, prepared once: which of its tensors are trained, run and sent back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from edgesim.models._layers import Layers
from edgesim.models._structure import ModelStructure

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """What is the same for all visits with sub-models of one shape.

    Attributes:
        trained: names of the parameters that are trained, in the network's order.
        frozen: names of those that are only run.
        buffers: names of all buffers.
        merged: names of the buffers that are sent back: statistics of trained layers.
    """

    trained: Sequence[str]
    frozen: Sequence[str]
    buffers: Sequence[str]
    merged: Sequence[str]

    def statistics(self, buffers: Tensors) -> dict[str, Tensor]:
        """The floating-point statistics that are sent back; counters are skipped (algorithms 1.6)."""
        return {name: buffers[name] for name in self.merged if buffers[name].is_floating_point()}


def make_part(held: ModelStructure, layers: Layers, frozen: frozenset[str] = frozenset()) -> Part:
    """Prepare sub-models of one shape.

    Args:
        held: structure of what is held.
        layers: indices of its trained layers.
        frozen: tensors of these that are not trained.
    """
    trained = set(held.trained_tensors(layers)) - frozen
    names = [name for name, _ in held.network.named_parameters()]
    return Part(
        trained=[name for name in names if name in trained],
        frozen=[name for name in names if name not in trained],
        buffers=[name for name, _ in held.network.named_buffers()],
        merged=[
            name for index in sorted(layers) for name in held.layers[index].buffers if name not in frozen
        ],
    )
