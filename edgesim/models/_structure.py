"""What a network is made of, read from one forward pass: its layers in execution order and what each costs.

Nothing here knows an architecture. The operators that run are watched as they are dispatched: one that
multiplies by a parameter makes a layer, a norm or a bias joins the layer before it, everything else carries
the data on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products
from edgesim.models._check import checked
from edgesim.models._recurrent import input_weights, recurrence_as_products
from edgesim.models._units import SAMPLES, UnitLayout, read_units

aten = torch.ops.aten

FLOAT_BYTES = 4

Layers = frozenset[int]
"""Indices of layers."""

_NORMS = frozenset(
    (aten.native_batch_norm, aten.native_group_norm, aten.native_layer_norm, aten._batch_norm_no_update)
)
_LOOKUPS = frozenset((aten.embedding,))
_JOINS = frozenset((aten.cat,))
_ACTIVATIONS = frozenset((aten._prelu_kernel,))


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
        return tuple(name for name in self.tensors if _owner(name) == self.name)


def _owner(name: str) -> str:
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
    watcher = _Watcher(network)
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


@dataclass
class _Draft:
    kind: str
    weight: str
    tensors: list[str]
    macs: int
    input_elements: int
    output_elements: int
    upstream: frozenset[int]


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects layers from the operators of a forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drafts: list[_Draft] = []
        self.products: list[Product] = []
        self._parameter = {id(p): name for name, p in network.named_parameters()}
        self._buffer = {id(b): name for name, b in network.named_buffers()}
        self._sizes = {name: p.numel() for name, p in network.named_parameters()}
        self._input_weight = input_weights(network)
        self._upstream: dict[int, frozenset[int]] = {}
        self._alive: list[Any] = []  # keeps ids unique while the pass is watched

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self._alive.append((inputs, outputs))
        self._watch(func, args, inputs, outputs, result)
        return result

    def _watch(
        self, func: Any, args: tuple[Any, ...], inputs: list[Tensor], outputs: list[Tensor], result: Any
    ) -> None:
        parameters = (self._parameter[id(tensor)] for tensor in inputs if id(tensor) in self._parameter)
        used = list(dict.fromkeys(parameters))
        data = [tensor for tensor in inputs if id(tensor) not in self._parameter]
        upstream = frozenset().union(*(self._upstream.get(id(tensor), frozenset()) for tensor in data))
        packet = func.overloadpacket
        if used and not data:
            self._carry_parameter(func, used, outputs)
            return
        if packet in flop_registry:
            macs = flop_registry[packet](*args, out_val=result) // (2 * SAMPLES)
            upstream |= self._costly(packet, used, data, macs, outputs, upstream)
        elif packet in _NORMS and not used:
            self._refuse_bare_statistics(func, data)
        elif used:
            upstream |= self._cheap(func, used, data, outputs, upstream)
        for tensor in outputs:
            self._upstream[id(tensor)] = upstream

    def _carry_parameter(self, func: Any, used: list[str], outputs: list[Tensor]) -> None:
        """A view or a cast of one parameter is that parameter still."""
        if len(used) != 1:
            raise RunFailed(f"{func} combines parameters {', '.join(used)}; its cost is not known")
        for tensor in outputs:
            self._parameter[id(tensor)] = used[0]

    def _costly(
        self,
        packet: Any,
        used: list[str],
        data: list[Tensor],
        macs: int,
        outputs: list[Tensor],
        upstream: frozenset[int],
    ) -> frozenset[int]:
        sides = tuple(self._upstream.get(id(tensor), frozenset()) for tensor in data)
        elements = sum(tensor.numel() for tensor in (*data, *outputs)) // SAMPLES
        if not used:
            self.products.append(Product(macs, elements, sides))
            return frozenset()
        recurrent = self._recurrent_layer(used)
        if recurrent is not None:
            self._extend(self.drafts[recurrent], used)
            self.products.append(Product(macs, elements, (frozenset((recurrent,)), *sides)))
            return frozenset((recurrent,))
        kind = "conv" if "conv" in packet.__name__ else "linear"
        return self._add_layer(kind, used, macs, data, outputs, upstream)

    def _recurrent_layer(self, used: list[str]) -> int | None:
        """The layer that reads its input with other weights and feeds its state back through these."""
        known = {name: index for index, draft in enumerate(self.drafts) for name in draft.tensors}
        return known.get(self._input_weight.get(used[0], ""))

    def _extend(self, draft: _Draft, used: list[str]) -> None:
        draft.tensors.extend(name for name in used if name not in draft.tensors)

    def _cheap(
        self, func: Any, used: list[str], data: list[Tensor], outputs: list[Tensor], upstream: frozenset[int]
    ) -> frozenset[int]:
        """A norm, a scale, an added bias or a class token joins the last layer; a look-up is a layer."""
        packet = func.overloadpacket
        if packet in _LOOKUPS:
            return self._add_layer("embedding", used, 0, data, outputs, upstream)
        if packet not in _NORMS | _JOINS | _ACTIVATIONS and torch.Tag.pointwise not in func.tags:
            raise RunFailed(f"operator {func} uses parameter {used[0]}, and its cost is not known")
        if not self.drafts:
            return self._add_layer("norm", used, 0, data, outputs, upstream)
        self._refuse_shared(used, self.drafts[:-1])
        self._extend(self.drafts[-1], used)
        return frozenset((len(self.drafts) - 1,))

    def _add_layer(
        self,
        kind: str,
        used: list[str],
        macs: int,
        data: list[Tensor],
        outputs: list[Tensor],
        upstream: frozenset[int],
    ) -> frozenset[int]:
        self._refuse_shared(used, self.drafts)
        sizes = (data[0].numel() // SAMPLES, outputs[0].numel() // SAMPLES)
        weight = max(used, key=lambda name: self._sizes[name])
        self.drafts.append(_Draft(kind, weight, used, macs, *sizes, upstream))
        return frozenset((len(self.drafts) - 1,))

    def _refuse_shared(self, used: list[str], drafts: list[_Draft]) -> None:
        shared = [name for draft in drafts for name in draft.tensors if name in used]
        if shared:
            raise RunFailed(
                f"parameter {shared[0]} is used twice in one forward pass; shared layers have no depth"
            )

    def _refuse_bare_statistics(self, func: Any, data: list[Tensor]) -> None:
        """Without parameters there is no telling which layer the statistics belong to."""
        kept = [self._buffer[id(tensor)] for tensor in data if id(tensor) in self._buffer]
        if kept:
            raise RunFailed(
                f"{func} keeps statistics in buffer {kept[0]} and has no parameters; "
                "give the norm parameters (affine=True) or no statistics"
            )

    def finished(self, network: nn.Module) -> Iterator[Layer]:
        """The layers, with their names and buffers filled in."""
        counted = {name: b.numel() if b.is_floating_point() else 0 for name, b in network.named_buffers()}
        for draft in self.drafts:
            owners = {name.rpartition(".")[0] for name in draft.tensors}
            buffers = tuple(name for name in counted if name.rpartition(".")[0] in owners)
            yield Layer(
                name=_owner(draft.weight),
                kind=draft.kind,
                tensors=tuple(name for name in self._sizes if name in draft.tensors),
                buffers=buffers,
                parameters=sum(self._sizes[name] for name in draft.tensors),
                statistics=sum(counted[name] for name in buffers),
                macs=draft.macs,
                input_elements=draft.input_elements,
                output_elements=draft.output_elements,
                upstream=draft.upstream,
            )
