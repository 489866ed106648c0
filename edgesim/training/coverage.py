"""Which coordinates of the model were trained how often, and by how many devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgesim.models._structure import ModelStructure
from edgesim.submodels._submodel import Cut, Submodel

_AT_ONCE = 32  # different sub-models that are remembered before they are counted: masks are large

Index = tuple[NDArray[np.int64], ...] | NDArray[np.bool_] | None
"""What picks the held coordinates of a tensor: an outer product of indices, a mask, or null for all."""


@dataclass
class Coverage:
    """Counts updates by the coordinates that they trained.

    A sub-model that many visits share is counted as often as it occurs, and written out once.

    Attributes:
        structure: of the whole model.
    """

    structure: ModelStructure
    _pending: dict[Submodel, int] = field(default_factory=dict)
    _trained_by: dict[int, frozenset[int]] = field(default_factory=dict)
    _parts: dict[str, NDArray[np.int32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = len(self.structure.layers)
        self._shapes = self.structure.shapes
        self._times = np.zeros(layers, dtype=np.int64)  # updates that trained some of a layer
        self._whole = dict.fromkeys(self._shapes, 0)  # updates that trained all of a tensor

    def count(self, submodels: Sequence[Submodel], devices: Sequence[int]) -> None:
        """Count updates, each of a sub-model and from a device."""
        pending, trained_by = self._pending, self._trained_by
        for submodel, device in zip(submodels, devices, strict=True):
            pending[submodel] = pending.get(submodel, 0) + 1
            layers = submodel.layers
            if trained_by.setdefault(device, layers) is not layers:
                trained_by[device] |= layers
        if len(pending) > _AT_ONCE:
            self._write()

    def fraction(self, submodels: Iterable[Submodel]) -> float:
        """Share of the model's parameters that at least one of these sub-models trains."""
        # Whole ones first: what they cover needs no mask.
        distinct = sorted(set(submodels), key=lambda each: each.cut is not None or each.mask is not None)
        covered: dict[str, NDArray[np.bool_]] = {}
        whole: set[str] = set()
        for submodel in distinct:
            for name, index in _places(self.structure, submodel):
                if index is None:
                    whole.add(name)
                elif name not in whole:
                    mask = covered.setdefault(name, np.zeros(self._shapes[name], dtype=bool))
                    _mark(mask, index)
        parts = sum(int(mask.sum()) for name, mask in covered.items() if name not in whole)
        return (parts + sum(self._size(name) for name in whole)) / self.structure.parameters

    def table(self) -> dict[str, list[str] | list[int] | list[float]]:
        """Columns of the coverage table, a row per tensor in forward order."""
        self._write()
        rows = [(name, index) for index, layer in enumerate(self.structure.layers) for name in layer.tensors]
        counts = [self._counts(name) for name, _ in rows]
        return {
            "tensor": [name for name, _ in rows],
            "layer": [self.structure.layers[index].name for _, index in rows],
            "times_trained": [int(self._times[index]) for _, index in rows],
            "devices": [sum(index in by for by in self._trained_by.values()) for _, index in rows],
            "elements": [self._size(name) for name, _ in rows],
            "covered_fraction": [float((count > 0).mean()) for count in counts],
            "mean_times": [float(count.mean()) for count in counts],
            "least_times": [int(count.min()) for count in counts],
            "most_times": [int(count.max()) for count in counts],
        }

    def _size(self, name: str) -> int:
        return int(np.prod(self._shapes[name], dtype=np.int64))

    def _counts(self, name: str) -> NDArray[np.int32]:
        parts = self._parts.get(name)
        return np.full(1, self._whole[name], dtype=np.int32) if parts is None else parts + self._whole[name]

    def _write(self) -> None:
        for submodel, times in self._pending.items():
            self._times[list(submodel.layers)] += times
            for name, index in _places(self.structure, submodel):
                if index is None:
                    self._whole[name] += times
                else:
                    parts = self._parts.setdefault(name, np.zeros(self._shapes[name], dtype=np.int32))
                    parts[index] += times
        self._pending.clear()


def _mark(mask: NDArray[np.bool_], index: tuple[NDArray[np.int64], ...] | NDArray[np.bool_]) -> None:
    if isinstance(index, tuple):
        mask[index] = True
    else:
        mask |= index


def _places(structure: ModelStructure, submodel: Submodel) -> Sequence[tuple[str, Index]]:
    """The trained tensors of a sub-model, each with the place of what is trained of it."""
    names = [name for name in structure.trained_tensors(submodel.layers) if name not in submodel.frozen]
    if submodel.mask is not None:
        masks = submodel.mask.tensors
        return [(name, masks.get(name)) for name in names]
    if submodel.cut is not None:
        return _places_of_cut(structure, submodel.cut, names)
    return [(name, None) for name in names]


def _places_of_cut(structure: ModelStructure, cut: Cut, names: Sequence[str]) -> list[tuple[str, Index]]:
    units = structure.units
    held = units.kept(cut.kept)
    places: list[tuple[str, Index]] = []
    for name in names:
        index = units.index(name, held)
        if all(kept is None for kept in index):
            places.append((name, None))
            continue
        rows = [
            np.arange(size) if kept is None else kept
            for kept, size in zip(index, structure.shapes[name], strict=True)
        ]
        places.append((name, np.ix_(*rows)))
    return places
