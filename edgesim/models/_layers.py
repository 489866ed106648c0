"""The layers of a network and the products between them, each with what one sample costs."""

from __future__ import annotations

from dataclasses import dataclass

Layers = frozenset[int]
"""Indices of layers."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One parametrised layer, with the norm that follows it.

    Attributes:
        name: path of the module that owns the weight.
        kind: `conv`, `linear`, `embedding`, ...: the operator class.
        tensors: names of its parameters.
        buffers: names of the buffers of its modules (the statistics of a norm).
        parameters: number of parameter elements.
        statistics: number of floating-point elements of its buffers.
        macs: multiply-adds of one forward sample (algorithms 1.3; norms and activations are not counted).
        input_elements: elements of one sample's input.
        output_elements: elements of one sample's output.
        upstream: indices of the layers that its input depends on.
    """

    name: str
    kind: str
    tensors: tuple[str, ...]
    buffers: tuple[str, ...]
    parameters: int
    statistics: int
    macs: int
    input_elements: int
    output_elements: int
    upstream: Layers

    @property
    def own_tensors(self) -> tuple[str, ...]:
        """Its parameters without those of a norm, or of whatever else, that joins it."""
        return tuple(name for name in self.tensors if owner(name) == self.name)


def owner(name: str) -> str:
    """What a layer is called that has its weight in this tensor; a norm that follows has another name."""
    return name.rpartition(".")[0] or name


@dataclass(frozen=True, slots=True)
class Product:
    """A product that is no layer of its own.

    Either of two activations (attention scores), or of a state and its layer's recurrent weights at one step.

    Attributes:
        macs: multiply-adds of one forward sample.
        elements: elements of one sample's operands and result.
        upstream: for each operand, indices of the layers that it depends on.
    """

    macs: int
    elements: int
    upstream: tuple[Layers, ...]

    def backward_sides(self, trained: Layers) -> int:
        """How many of its operands need a gradient when these layers are trained."""
        return sum(not trained.isdisjoint(side) for side in self.upstream)
