"""Unit groups: which channels of a network belong together, read from its graph.

A unit is one channel of a hidden layer, with everything that exists because of it: a filter and its bias, the
norm's entries, the columns of the layers that read it, the same channel of each layer that writes to the same
residual stream. torch-pruning's dependency graph finds them for any network that it can trace (Fang et al.,
CVPR 2023). The output layer's classes and the input's channels are never units.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_pruning
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from edgesim.errors import RunFailed

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

Units = NDArray[np.int64]

NEVER = -1  # a coordinate that belongs to no unit

_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)
_CUT = (_ConvNd, nn.Linear, *_NORMS)


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


@dataclass(frozen=True, eq=False)
class UnitLayout:
    """Which coordinate of which tensor belongs to which unit.

    Attributes:
        groups: in the order in which the network first runs them.
        places: per tensor and dimension the unit of each coordinate, counted through all groups; null where
            no coordinate of the dimension belongs to a unit.
    """

    groups: tuple[UnitGroup, ...]
    places: Mapping[str, tuple[Units | None, ...]]

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
    graph = _dependencies(network, structure)
    names = {module: name for name, module in network.named_modules()}
    output = network.get_submodule(structure.layers[-1].name)
    order = {layer.name: place for place, layer in enumerate(structure.layers)}
    found = []
    for group in graph.get_all_groups(ignored_layers=[output], root_module_types=[_ConvNd, nn.Linear]):
        items = [item for item in group if item.dep.target.module in names]
        if _can_be_cut(items, names, output):
            found.append(items)
    found.sort(key=lambda items: min(order.get(names[item.dep.target.module], len(order)) for item in items))
    return _layout(found, names, network)


def _dependencies(network: nn.Module, structure: ModelStructure) -> Any:
    try:
        return torch_pruning.DependencyGraph().build_dependency(
            network, example_inputs=torch.zeros(1, *structure.input_shape), verbose=False
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError) as error:
        raise RunFailed(
            f"the model {type(network).__name__} cannot be traced for its units"
            f" ({type(error).__name__}: {error}); methods that cut widths need a model that can"
        ) from error


def _can_be_cut(items: Sequence[Any], names: Mapping[nn.Module, str], output: nn.Module) -> bool:
    """Whether a group is cut. Channels around a grouped convolution that is not depthwise stay whole.

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
        if isinstance(module, _ConvNd) and module.groups > 1 and not is_depthwise(module):
            return False
        if module is output and _writes(item):
            return False
    return any(_writes(item) for item in items)


def is_depthwise(module: nn.Module) -> bool:
    """Whether a convolution filters each channel by itself."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels


def _writes(item: Any) -> bool:
    """Whether the module of an item makes the channels, and does not merely read or normalise them."""
    module = item.dep.target.module
    return (
        isinstance(module, _ConvNd | nn.Linear)
        and "out" in item.dep.handler.__name__
        and not is_depthwise(module)
    )


def _layout(found: Sequence[Sequence[Any]], names: Mapping[nn.Module, str], network: nn.Module) -> UnitLayout:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    places: dict[str, list[Units | None]] = {name: [None] * len(shape) for name, shape in shapes.items()}
    groups: list[UnitGroup] = []
    offset = 0
    for items in found:
        makers = [names[item.dep.target.module] for item in items if _writes(item)]
        size = 1 + max(max(item.root_idxs) for item in items)
        groups.append(UnitGroup(makers[0], size, tuple(dict.fromkeys(makers))))
        for item in items:
            _mark(item, names[item.dep.target.module], offset, shapes, places)
        offset += size
    marked = {name: tuple(dims) for name, dims in places.items() if any(dim is not None for dim in dims)}
    return UnitLayout(tuple(groups), marked)


def _mark(
    item: Any,
    path: str,
    offset: int,
    shapes: Mapping[str, tuple[int, ...]],
    places: dict[str, list[Units | None]],
) -> None:
    """Write the units of one module's coordinates."""
    for name, dim in _touched(item, path, shapes):
        owners = places[name][dim]
        if owners is None:
            owners = np.full(shapes[name][dim], NEVER, dtype=np.int64)
            places[name][dim] = owners
        owners[np.asarray(item.idxs)] = offset + np.asarray(item.root_idxs)


def _touched(item: Any, path: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, int]]:
    """Tensors and dimensions that lose coordinates when channels of a module are cut at this item."""
    module = item.dep.target.module
    reads = (
        "in" in item.dep.handler.__name__.split("_")
        and not isinstance(module, _NORMS)
        and not is_depthwise(module)
    )
    prefix = f"{path}." if path else ""
    if reads:
        yield f"{prefix}weight", 1
        return
    for name in ("weight", "bias", "running_mean", "running_var"):
        if shapes.get(f"{prefix}{name}"):
            yield f"{prefix}{name}", 0
