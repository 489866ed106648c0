"""What a network is made of, read from one forward pass: layers in execution order, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products
from edgesim.models._check import checked
from edgesim.models._layers import Layer, Layers, Product
from edgesim.models._recurrent import recurrence_as_products
from edgesim.models._units import SAMPLES, UnitLayout, read_units
from edgesim.models._watcher import Watcher

FLOAT_BYTES = 4


@dataclass(frozen=True)
class ModelStructure:
    """A network's layers in execution order, and its costs for one sample.

    Attributes:
        layers: the parametrised layers.
        products: products of activations.
        network: the network that was read; its values are not used.
        input_shape: shape of one sample.
        output_shape: shape of what it predicts for one sample; the classes come last.
        tokens: size of the vocabulary where samples are tokens; null where they are numbers.
    """

    layers: tuple[Layer, ...]
    products: tuple[Product, ...]
    network: nn.Module = field(repr=False, compare=False)
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    tokens: int | None = None
    _activation_bytes: dict[Layers, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def parameters(self) -> int:
        """Number of parameter elements (d of algorithms 1.1)."""
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def forward_macs(self) -> int:
        """Multiply-adds of one forward sample."""
        return sum(layer.macs for layer in self.layers) + sum(product.macs for product in self.products)

    @cached_property
    def all_layers(self) -> frozenset[int]:
        """Indices of all layers."""
        return self.layers_from(0)

    def layers_from(self, first: int) -> frozenset[int]:
        """Indices of the layers from index `first` on."""
        return frozenset(range(first, len(self.layers)))

    def backward_macs(self, trained: Layers) -> int:
        """Multiply-adds of one backward sample when these layers are trained.

        A weight gradient for each trained layer; an input gradient where a trained layer lies upstream
        (algorithms 1.3).
        """
        return sum(sum(self.layer_backward_macs(index, trained)) for index in range(len(self.layers))) + sum(
            product.macs * product.backward_sides(trained) for product in self.products
        )

    def layer_backward_macs(self, index: int, trained: Layers) -> tuple[int, int]:
        """Multiply-adds of one backward sample in one layer: for its weights and for its input."""
        layer = self.layers[index]
        return (
            layer.macs if index in trained else 0,
            0 if trained.isdisjoint(layer.upstream) else layer.macs,
        )

    def train_macs(self, trained: Layers) -> int:
        """Multiply-adds of one training sample, forward and backward."""
        return self.forward_macs + self.backward_macs(trained)

    def trained_statistics(self, trained: Layers) -> int:
        """Floating-point buffer elements of these layers."""
        return sum(self.layers[index].statistics for index in trained)

    def trained_tensors(self, trained: Layers) -> tuple[str, ...]:
        """Names of the parameters of these layers, in forward order."""
        return tuple(name for index in sorted(trained) for name in self.layers[index].tensors)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each parameter."""
        return {name: tuple(tensor.shape) for name, tensor in self.network.named_parameters()}

    @cached_property
    def units(self) -> UnitLayout:
        """Which channels belong together.

        Raises:
            RunFailed: the network cannot be traced or cut; the message names the module.
        """
        return checked(self.network, read_units(self), self.input_shape, self.tokens)

    def samples(self, count: int) -> Tensor:
        """Zeros [count, *input_shape]: numbers, or the first token where samples are tokens."""
        return _zeros(count, self.input_shape, self.tokens)

    @cached_property
    def transient_bytes(self) -> int:
        """Bytes per sample of the widest layer's input and output, T of algorithms 1.4."""
        return FLOAT_BYTES * max(layer.input_elements + layer.output_elements for layer in self.layers)

    def activation_bytes(self, trained: Layers) -> int:
        """A of algorithms 1.4: bytes per sample that training these layers keeps.

        Measured with autograd's own saved-tensor hooks, as the difference between batches of three and two.
        """
        if trained not in self._activation_bytes:
            self._activation_bytes[trained] = self._saved_bytes(trained, 3) - self._saved_bytes(trained, 2)
        return self._activation_bytes[trained]

    def _saved_bytes(self, trained: Layers, batch: int) -> int:
        names = set(self.trained_tensors(trained))
        tensors = {
            name: p.detach().clone().requires_grad_(name in names)
            for name, p in self.network.named_parameters()
        }
        buffers = {name: b.detach().clone() for name, b in self.network.named_buffers()}
        owned = {tensor.untyped_storage().data_ptr() for tensor in (*tensors.values(), *buffers.values())}
        saved: dict[int, int] = {}
        kept: list[Tensor] = []  # storages must stay alive, or an address could be counted for two tensors

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()  # whole, as the gates of an LSTM are parts of one tensor
            if storage.data_ptr() not in owned:
                saved[storage.data_ptr()] = storage.nbytes()
                kept.append(tensor)
            return tensor

        sample = self.samples(batch)
        was_training = self.network.training
        self.network.train()
        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, attention_as_products(), recurrence_as_products():
            output = torch.func.functional_call(self.network, {**tensors, **buffers}, (sample,))
        self.network.train(was_training)
        del output
        return sum(saved.values())


def _zeros(count: int, shape: Sequence[int], tokens: int | None) -> Tensor:
    return torch.zeros(count, *shape, dtype=torch.float32 if tokens is None else torch.int64)


def read_structure(
    network: nn.Module, input_shape: Sequence[int], tokens: int | None = None
) -> ModelStructure:
    """Read a network's structure from one forward pass in evaluation mode.

    Args:
        network: to read.
        input_shape: shape of one sample.
        tokens: size of the vocabulary where samples are tokens; null where they are numbers.

    Raises:
        RunFailed: an operator uses a parameter in a way whose cost is not known, or the network cannot run.
    """
    watcher = Watcher(network)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), attention_as_products(), recurrence_as_products(), watcher:
            output = network(_zeros(SAMPLES, input_shape, tokens))
    except (RuntimeError, ValueError) as error:  # what torch raises for inputs that do not fit
        reason = str(error).splitlines()[0]
        kind = "an input" if tokens is None else "tokens"
        raise RunFailed(
            f"the model does not run on {kind} of shape {tuple(input_shape)}: {reason}"
        ) from error
    finally:
        network.train(was_training)
    layers = tuple(watcher.finished(network))
    seen = {name for layer in layers for name in layer.tensors}
    unused = [name for name, _ in network.named_parameters() if name not in seen]
    if unused:
        raise RunFailed(f"parameter {unused[0]} takes no part in the model's forward pass; remove it")
    if not isinstance(output, Tensor):
        raise RunFailed(f"the model gives {type(output).__name__}; it must give one tensor, its predictions")
    shapes = tuple(input_shape), tuple(output.shape[1:])
    return ModelStructure(layers, tuple(watcher.products), network, *shapes, tokens)
