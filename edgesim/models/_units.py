"""Unit groups: which channels of a network belong together, read from its graph.

A unit is one channel of a hidden layer, with everything that exists because of it: a filter and its bias, the
norm's entries, the columns of the layers that read it, the same channel of each layer that writes to the same
residual stream. torch-pruning's dependency graph finds them for any network that it can trace (Fang et al.,
CVPR 2023). In attention and in grouped convolutions it is the same channel of every head or group. The output
layer's classes and the input's channels are never units.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgesim.errors import RunFailed
from edgesim.models._attention import (
    Dims,
    TiedAttention,
    is_attention,
    places_in_attention,
)
from edgesim.models._recurrent import TiedRecurrence, is_recurrence, places_in_recurrence, refuse_others
from edgesim.models._tracing import dependency_graph

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

Units = NDArray[np.int64]

SAMPLES = 2
"""Of a trial pass: batch norm without running statistics refuses a single sample whose map is one pixel."""

NEVER = -1  # a coordinate that belongs to no unit

_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)
_CUT = (_ConvNd, nn.Linear, nn.Embedding, nn.PReLU, nn.Parameter, *_NORMS)


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units that are cut alike because the network ties them together.

    Attributes:
        name: path of the first module that makes them.
        size: number of units.
        makers: paths of the layers whose outputs they are.
    """

    name: str
    size: int
    makers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptSize:
    """A number of units that a module holds beside its tensors, and that shrinks with them.

    Attributes:
        module: path of the module.
        attribute: name of the attribute: the number, or a tuple with it.
        group: index of the unit group.
    """

    module: str
    attribute: str
    group: int


@dataclass(frozen=True, eq=False)
class UnitLayout:
    """Which coordinate of which tensor belongs to which unit.

    Attributes:
        groups: in the order in which the network first runs them.
        places: per tensor and dimension the unit of each coordinate, counted through all groups; null where
            no coordinate of the dimension belongs to a unit.
        sizes: what modules hold beside their tensors.
    """

    groups: tuple[UnitGroup, ...]
    places: Mapping[str, tuple[Units | None, ...]]
    sizes: tuple[KeptSize, ...] = ()

    @cached_property
    def offsets(self) -> Units:
        """Number of the first unit of each group."""
        sizes = [group.size for group in self.groups]
        return (
            np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if sizes else np.zeros(0, np.int64)
        )

    @property
    def units(self) -> int:
        """Number of all units."""
        return sum(group.size for group in self.groups)

    def kept(self, units: Sequence[Units]) -> NDArray[np.bool_]:
        """Which units are kept, [units], from the kept ones of each group."""
        mask = np.zeros(self.units, dtype=bool)
        for offset, chosen in zip(self.offsets, units, strict=True):
            mask[offset + chosen] = True
        return mask

    def index(self, name: str, kept: NDArray[np.bool_]) -> tuple[Units | None, ...]:
        """Kept coordinates of each dimension of a tensor; null for a dimension that is kept whole."""
        return tuple(
            None if owners is None else np.flatnonzero((owners == NEVER) | kept[owners])
            for owners in self.places.get(name, ())
        )


def read_units(structure: ModelStructure) -> UnitLayout:
    """Find the unit groups of a network.

    Raises:
        RunFailed: the network cannot be traced, or a module ties channels in a way that cannot be cut.
    """
    network = copy.deepcopy(structure.network).requires_grad_()  # on frozen parameters nothing would be found
    network.eval()
    refuse_others(network)
    opaque = {
        path: module
        for path, module in network.named_modules()
        if is_attention(module) or is_recurrence(module)
    }
    for path, module in opaque.items():
        network.set_submodule(path, TiedAttention(module) if is_attention(module) else TiedRecurrence(module))
    graph = dependency_graph(network, (structure.samples(SAMPLES),))
    names = {owner: name for name, owner in (*network.named_modules(), *network.named_parameters())}
    output = network.get_submodule(structure.layers[-1].name)
    order = _forward_order(structure)

    def rank(item: Any) -> int:
        path = names[item.dep.target.module]
        return order.get(path, order.get(path.rpartition(".")[0], len(order)))

    found = []
    roots = [_ConvNd, nn.Linear, nn.Embedding]
    for group in graph.get_all_groups(ignored_layers=[output], root_module_types=roots):
        items = sorted((item for item in group if item.dep.target.module in names), key=rank)
        if _can_be_cut(items, names, output):
            found.append(items)
    found.sort(key=lambda items: rank(items[0]))
    layout = _layout(found, names, network)
    recurrences = {path for path, module in opaque.items() if is_recurrence(module)}
    groups = tuple(_made_by(group, recurrences) for group in layout.groups)
    return replace(layout, groups=groups, places=_of_opaque(layout.places, opaque, network))


def _forward_order(structure: ModelStructure) -> dict[str, int]:
    """Place of each layer by its name, and of those of one recurrence by the names of their stand-ins."""
    order = {layer.name: place for place, layer in enumerate(structure.layers)}
    for place, layer in enumerate(structure.layers):
        order |= {name.replace("weight_ih_", ""): place for name in layer.tensors if "weight_ih_" in name}
    return order


def _made_by(group: UnitGroup, recurrences: Collection[str]) -> UnitGroup:
    """The group, made by recurrences in place of the layers that stood for them."""

    def maker(path: str) -> str:
        owner = path.rpartition(".")[0]
        return owner if owner in recurrences else path

    makers = tuple(dict.fromkeys(map(maker, group.makers)))
    return replace(group, name=makers[0], makers=makers)


def _of_opaque(
    places: Mapping[str, Dims], opaque: Mapping[str, nn.Module], network: nn.Module
) -> dict[str, tuple[Units | None, ...]]:
    """The places with those of attentions and recurrences for those of the layers that stood for them."""
    shown = {name: tuple(dims) for name, dims in places.items()}
    for path, module in opaque.items():
        tied = {
            name: shown.pop(f"{path}.{name}", (None,) * tensor.dim())
            for name, tensor in network.get_submodule(path).named_parameters()
        }
        found = places_in_recurrence if is_recurrence(module) else places_in_attention
        for name, dims in found(module, tied).items():  # type: ignore[arg-type]
            if any(dim is not None for dim in dims):
                shown[f"{path}.{name}"] = tuple(dims)
    return shown


def _can_be_cut(items: Sequence[Any], names: Mapping[Any, str], output: nn.Module) -> bool:
    """Whether a group is cut. Channels of which a grouped convolution reads a part stay whole.

    Raises:
        RunFailed: a module whose channels these are is of a kind that we cannot cut.
    """
    for item in items:
        module = item.dep.target.module
        if not isinstance(module, _CUT):
            raise RunFailed(
                f"module {names[module]} ({type(module).__name__}) ties channels together,"
                " and how to cut it is not known"
            )
        if _is_grouped(module) and len(item.idxs) != _channels(item):
            return False
        if module is output and _writes(item):
            return False
    return any(_writes(item) for item in items)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a convolution filters each channel by itself."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels


def _is_grouped(module: object) -> TypeGuard[_ConvNd]:
    return isinstance(module, _ConvNd) and module.groups > 1 and not is_depthwise(module)


def _channels(item: Any) -> int:
    """Channels of a convolution on the side that an item cuts."""
    module: _ConvNd = item.dep.target.module
    return module.out_channels if _writes(item) else module.in_channels


def _writes(item: Any) -> bool:
    """Whether the module of an item makes the channels, and does not merely read or normalise them."""
    module = item.dep.target.module
    return (
        isinstance(module, _ConvNd | nn.Linear | nn.Embedding)
        and "out" in item.dep.handler.__name__
        and not is_depthwise(module)
    )


def _layout(found: Sequence[Sequence[Any]], names: Mapping[Any, str], network: nn.Module) -> UnitLayout:
    tensors = (*network.named_parameters(), *network.named_buffers())
    places: dict[str, list[Units | None]] = {name: [None] * tensor.dim() for name, tensor in tensors}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors}
    groups: list[UnitGroup] = []
    offset = 0
    for items in found:
        makers = [names[item.dep.target.module] for item in items if _writes(item)]
        unit = _units_of_channels(items)
        size = 1 + int(unit.max())
        groups.append(UnitGroup(makers[0], size, tuple(dict.fromkeys(makers))))
        for item in items:
            owned = offset + unit[np.asarray(item.root_idxs)]
            for name, dim in _touched(item, names[item.dep.target.module], shapes):
                _mark(places[name], dim, shapes[name][dim], np.asarray(item.idxs), owned)
        offset += size
    marked = {name: tuple(dims) for name, dims in places.items() if any(dim is not None for dim in dims)}
    return UnitLayout(tuple(groups), marked)


def _units_of_channels(items: Sequence[Any]) -> Units:
    """The unit of each channel of a group: its own, or that of its like in the first group of filters.

    A grouped convolution keeps as many channels in every group of filters only if it keeps the same ones.
    """
    channels = 1 + max(max(item.root_idxs) for item in items)
    same: list[tuple[Units, Units]] = []
    for item in items:
        module = item.dep.target.module
        if _is_grouped(module):
            roots = np.empty(_channels(item), dtype=np.int64)
            roots[np.asarray(item.idxs)] = item.root_idxs
            same.append((roots, np.resize(roots[: len(roots) // module.groups], len(roots))))
    if not same:
        return np.arange(channels)
    left, right = map(np.concatenate, zip(*same, strict=True))
    links = coo_array((np.ones(len(left)), (left, right)), shape=(channels, channels))
    units: Units = connected_components(links, directed=False)[1].astype(np.int64)
    return units


def _mark(dims: list[Units | None], dim: int, size: int, channels: Units, units: Units) -> None:
    """Write the units of a dimension's coordinates; of a grouped convolution's inputs the first group's."""
    owners = dims[dim]
    if owners is None:
        owners = dims[dim] = np.full(size, NEVER, dtype=np.int64)
    held = channels < size
    owners[channels[held]] = units[held]


def _touched(item: Any, path: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, int]]:
    """Tensors and dimensions that lose coordinates when channels of a module are cut at this item."""
    module = item.dep.target.module
    if isinstance(module, nn.Parameter):
        yield path, item.dep.target.pruning_dim
        return
    if isinstance(module, nn.PReLU) and module.num_parameters == 1:
        return  # one slope for all channels
    prefix = f"{path}." if path else ""
    reads = isinstance(module, _ConvNd | nn.Linear) and not _writes(item) and not is_depthwise(module)
    inputs_first = isinstance(module, nn.Embedding | _ConvTransposeNd) and not is_depthwise(module)
    if f"{prefix}weight" in shapes:  # a norm may have no parameters
        yield f"{prefix}weight", int(reads != inputs_first)
    if not reads:
        for name in ("bias", "running_mean", "running_var"):
            if shapes.get(f"{prefix}{name}"):
                yield f"{prefix}{name}", 0
