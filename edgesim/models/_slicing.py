"""Slicing: the small network of a kept set of units, and its tensors out of the full ones and back.

For one network and one number of kept units per group the small network is built once; a set of units then
only decides which coordinates are gathered. Prefixes (HeteroFL, FjORD) are plain slices, which is faster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_map

from edgesim.models._attention import CutAttention, is_attention
from edgesim.models._units import UnitLayout, Units, is_depthwise

Place = tuple[slice | Tensor, ...]


@dataclass(frozen=True)
class Slicer:
    """Where the tensors of a small network lie in those of the full one.

    Attributes:
        places: per tensor, for each dimension a slice or the kept indices; tensors that are whole are absent.
    """

    places: Mapping[str, Place]

    def take(self, name: str, full: Tensor) -> Tensor:
        """The small tensor's values, contiguous; they may lie in the full tensor's memory."""
        place = self.places.get(name)
        return full if place is None else gather(full, place).contiguous()


def gather(full: Tensor, place: Place) -> Tensor:
    """Values of a tensor at a place, which may be a view of them."""
    for dim, kept in enumerate(place):
        full = (
            full[(slice(None),) * dim + (kept,)] if isinstance(kept, slice) else full.index_select(dim, kept)
        )
    return full


def add_at(full: Tensor, place: Place | None, values: Tensor) -> None:
    """full[place] += values, in place."""
    if place is None:
        full += values
    elif all(isinstance(kept, slice) for kept in place):
        full[place] += values
    else:
        full.index_put_(_broadcast(place, full), values, accumulate=True)


def _broadcast(place: Place, full: Tensor) -> tuple[Tensor, ...]:
    """Index tensors that pick the outer product of the kept indices, as `numpy.ix_` does."""
    rows = [
        torch.arange(size, device=full.device)[kept] if isinstance(kept, slice) else kept
        for kept, size in zip(place, full.shape, strict=True)
    ]
    last = len(rows) - 1
    return tuple(row.reshape((-1,) + (1,) * (last - dim)) for dim, row in enumerate(rows))


def make_slicer(layout: UnitLayout, kept: Sequence[Units], device: str = "cpu") -> Slicer:
    """The places of all tensors for a kept set of units.

    Args:
        layout: of the network.
        kept: per group, the numbers of its kept units, ascending.
        device: where index tensors are to lie.
    """
    mask = layout.kept(kept)
    places: dict[str, Place] = {}
    for name in layout.places:
        index = layout.index(name, mask)
        place = tuple(slice(None) if dim is None else _as_slice(dim, device) for dim in index)
        places[name] = place
    return Slicer(places)


def _as_slice(index: Units, device: str) -> slice | Tensor:
    """Indices as a slice where they are a prefix."""
    if len(index) and index[-1] == len(index) - 1:
        return slice(0, len(index))
    return torch.from_numpy(index).to(device)


def small_network(
    network: nn.Module,
    layout: UnitLayout,
    kept: Sequence[Units],
    rates: Sequence[float],
    *,
    scaler: bool = False,
) -> nn.Module:
    """The physically small network of a kept set of units, with the kept values.

    Args:
        network: the full one.
        layout: of its units.
        kept: per group, the kept units.
        rates: share of the units that was asked for, per group; a group norm gets as many groups as divide
            its channels evenly (algorithms 7b).
        scaler: whether the outputs of the layers that make units are divided by their rate in training.
    """
    slicer = make_slicer(layout, kept)
    small = copy.deepcopy(network)
    for path, module in small.named_modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            full_name = f"{path}.{name}" if path else name
            if full_name in slicer.places:
                cut = slicer.take(full_name, tensor.detach())
                fresh = (
                    nn.Parameter(cut, requires_grad=tensor.requires_grad)
                    if isinstance(tensor, nn.Parameter)
                    else cut
                )
                setattr(module, name, fresh)
        _adjust(module, min(rates, default=1.0))
    for path, module in list(small.named_modules()):
        if is_attention(module) and any(
            f"{path}.{name}" in slicer.places for name, _ in module.named_parameters()
        ):
            small.set_submodule(path, CutAttention(module))
    for size in layout.sizes:
        _resize(
            small.get_submodule(size.module),
            size.attribute,
            layout.groups[size.group].size,
            len(kept[size.group]),
        )
    if scaler:
        pairs = zip(layout.groups, rates, strict=True)
        for maker, rate in {maker: rate for group, rate in pairs for maker in group.makers}.items():
            _scale(small, [maker], rate)
    return small


def scaled_network(network: nn.Module, layers: Iterable[str], rate: float) -> nn.Module:
    """A copy of the whole network, with the outputs of these layers divided by the rate in training."""
    copied = copy.deepcopy(network)
    _scale(copied, layers, rate)
    return copied


def _scale(network: nn.Module, layers: Iterable[str], rate: float) -> None:
    if rate != 1:
        for path in layers:
            network.get_submodule(path).register_forward_hook(_Scaler(rate))


def scaled_as_trained(network: nn.Module) -> nn.Module:
    """A copy of a small network that is scaled in evaluation too: the function that its device has trained.

    In evaluation the whole network needs no scaling, but a small one by itself is made for it.
    """
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for key, hook in module._forward_hooks.items():
            if isinstance(hook, _Scaler):
                module._forward_hooks[key] = replace(hook, always=True)
    return copied


@dataclass(frozen=True)
class _Scaler:
    """A forward hook: divides a layer's outputs in training; in evaluation too only where it is told so."""

    scale: float
    always: bool = False

    def __call__(self, module: nn.Module, _inputs: object, output: Any) -> Any:
        if not (module.training or self.always):
            return output
        return tree_map(lambda tensor: tensor / self.scale, output)


def _adjust(module: nn.Module, rate: float) -> None:
    """Set the sizes that a module keeps beside its tensors."""
    if isinstance(module, _ConvNd):
        module.groups = module.weight.shape[0] if is_depthwise(module) else module.groups
        sides = (module.weight.shape[0], module.weight.shape[1] * module.groups)
        module.out_channels, module.in_channels = reversed(sides) if module.transposed else sides
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.GroupNorm) and module.affine:
        channels = module.weight.shape[0]
        if channels != module.num_channels:
            module.num_groups = _largest_divisor(channels, max(1, round(module.num_groups * rate)))
        module.num_channels = channels
    elif isinstance(module, nn.RNNBase):
        module.hidden_size = module.get_parameter("weight_hh_l0").shape[1]
        module.input_size = module.get_parameter("weight_ih_l0").shape[1]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = module.weight.shape[1]
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.elementwise_affine:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.modules.batchnorm._NormBase) and module.weight is not None:
        module.num_features = module.weight.shape[0]


def _resize(module: nn.Module, attribute: str, full: int, kept: int) -> None:
    """Put the number of kept units in the place of that of all."""
    value = getattr(module, attribute)
    resized = tuple(kept if each == full else each for each in value) if isinstance(value, tuple) else kept
    setattr(module, attribute, resized)


def _largest_divisor(channels: int, limit: int) -> int:
    return next(groups for groups in range(min(limit, channels), 0, -1) if channels % groups == 0)
