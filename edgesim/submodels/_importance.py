"""Masks from importance, FMP of FedGMR (algorithms 3.7 (1)): one ordering of all prunable weights.

The weights of convolutions, linear layers, embeddings and attention are prunable, those of the last layer
excepted. Norms and biases never are, but a bias is silenced where its unit has no weight left.

    |W|       `magnitudes`
    score[c]  `scores`
    floor     `Ordering.floor`: the largest 2 % of each tensor are held at every density
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem
from edgesim.submodels._submodel import Mask

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

Scores = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

INDEX_BYTES = 4

_ONE_IN = 50  # the floor: 2 %
_ROUNDING = 1e-9  # 0.29 x 50 is a little less than 14.5


def prunable(structure: ModelStructure) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that masks thin out, by name in forward order.

    Raises:
        InputError: the model has none.
    """
    found = {
        name: structure.shapes[name]
        for layer in structure.layers[:-1]
        for name in layer.own_tensors
        if layer.kind != "norm" and len(structure.shapes[name]) > 1
    }
    if not found:
        raise InputError(
            Problem(
                "prunes all layers but the last, and the model has no other; take a deeper one", "submodel"
            )
        )
    return found


def mask_bytes(held: int, total: int) -> int:
    """A bit for each weight or the indices of those that are held, whichever is less (algorithms 1.5)."""
    return 0 if held == total else min(-(-total // 8), INDEX_BYTES * held)


@dataclass(frozen=True, eq=False)
class Ordering:
    """All prunable weights from the least to the most important; of equals the first is the more important.

    The masks of one ordering are nested: a larger density holds what a smaller one holds, and more.

    Attributes:
        shapes: of the prunable tensors, in forward order.
        biases: per bias, the prunable tensor whose first dimension has the same units.
        floor: number of weights that are held at every density.
        scores: of all prunable weights one after the other, infinite where they are held at every density.
        ascending: the same, sorted.
    """

    shapes: Mapping[str, tuple[int, ...]]
    biases: Mapping[str, str]
    floor: int
    scores: Scores
    ascending: Scores
    _kept: dict[int, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, structure: ModelStructure, magnitudes: Sequence[Scores], scores: Sequence[Scores]
    ) -> Ordering:
        """Order the weights of a model.

        Args:
            structure: of the model.
            magnitudes: what decides about the floor, flat, for each of its prunable tensors.
            scores: what decides about the rest, alike.
        """
        shapes = prunable(structure)
        floors = [-(-each.size // _ONE_IN) for each in magnitudes]
        always = [
            largest(each, count, np.partition(each, -count)[-count])
            for each, count in zip(magnitudes, floors, strict=True)
        ]
        flat = np.concatenate(scores)
        flat[np.concatenate(always)] = np.inf
        return cls(shapes, _biases(structure, shapes), sum(floors), flat, np.sort(flat))

    def count(self, density: float) -> int:
        """Number of weights that are held at a density: rounded half up, and the floor at least."""
        return max(self.floor, math.floor(density * len(self.scores) + 0.5 + _ROUNDING))

    def mask(self, density: float) -> Mask:
        """The mask of a density; a new object each time.

        A silenced bias is counted as held: biases are not pruned, and travel with the rest (algorithms 1.5).
        """
        count = self.count(density)
        if count not in self._kept:
            parts = self._held(count)
            self._kept[count] = {name: int(np.count_nonzero(part)) for name, part in parts.items()}
        return Mask(density, self._kept[count], partial(self._masks, count))

    def _masks(self, count: int) -> dict[str, Flags]:
        masks = self._held(count)
        silent = {
            bias: np.logical_or.reduce(masks[weight], axis=tuple(range(1, masks[weight].ndim)))
            for bias, weight in self.biases.items()
        }
        return masks | silent

    def _held(self, count: int) -> dict[str, Flags]:
        held = largest(self.scores, count, self.ascending[-count])
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = np.split(held, np.cumsum(sizes)[:-1])
        return {name: part.reshape(self.shapes[name]) for name, part in zip(self.shapes, parts, strict=True)}


def largest(values: Scores, count: int, threshold: float) -> Flags:
    """Where the so many largest values lie, the first of equals; `threshold` is the least of them."""
    held = values > threshold
    equal = np.flatnonzero(values == threshold)
    held[equal[: count - np.count_nonzero(held)]] = True
    return held


def _biases(structure: ModelStructure, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """The weight of each bias, by PyTorch's names for the two."""
    found = {}
    for weight, shape in shapes.items():
        path, _, name = weight.rpartition(".")
        bias = f"{path}.{name.replace('weight', 'bias')}".removeprefix(".")
        inputs_first = getattr(structure.network.get_submodule(path), "transposed", False)
        if structure.shapes.get(bias) == shape[:1] and not inputs_first:
            found[bias] = weight
    return found


@lru_cache(maxsize=1)
def nominal(structure: ModelStructure) -> Ordering:
    """An ordering without weights: every density is the same in each tensor."""
    sizes = [math.prod(shape) for shape in prunable(structure).values()]
    falling = [1 - np.arange(size, dtype=np.float32) / size for size in sizes]
    return Ordering.of(structure, falling, falling)
