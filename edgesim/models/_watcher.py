"""Watching the operators of one forward pass, and what they say about the layers of a network.

Nothing here knows an architecture. The operators that run are watched as they are dispatched: one that
multiplies by a parameter makes a layer, a norm or a bias joins the layer before it, everything else carries
the data on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from edgesim.errors import RunFailed
from edgesim.models._layers import Layer, Product, owner
from edgesim.models._recurrent import input_weights
from edgesim.models._units import SAMPLES

aten = torch.ops.aten

_NORMS = frozenset(
    (aten.native_batch_norm, aten.native_group_norm, aten.native_layer_norm, aten._batch_norm_no_update)
)
_LOOKUPS = frozenset((aten.embedding,))
_JOINS = frozenset((aten.cat,))
_ACTIVATIONS = frozenset((aten._prelu_kernel,))


@dataclass
class _Draft:
    kind: str
    weight: str
    tensors: list[str]
    macs: int
    input_elements: int
    output_elements: int
    upstream: frozenset[int]


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
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
                name=owner(draft.weight),
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
