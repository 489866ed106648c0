"""FIARSE (Wu et al., NeurIPS 2024; algorithms 3.11): devices hold the largest weights, whichever they are.

    W      weights and biases of convolutions and linear layers, d of them; norms and the rest are always held
    g      share of them that a device holds                    `density`
    thr    size of the floor(g d)-th largest |W|                `Mask.thresholds`
    m      1 where |w| >= thr, worked out anew in each forward pass with the thr of the visit's beginning

The network runs with m w. A weight that shrinks below thr is switched off and gets no gradient; one that was
not held stays off. Where it is on, the mask counts as smooth, d m / d |w| = 2 thr / (|w| + thr)^2, and

    d loss / d w = d loss / d (m w) * (1 + 2 thr |w| / (|w| + thr)^2)

there, and 0 elsewhere. Of equal sizes at the threshold the first in forward order are held: exactly
floor(g d) are, so that what a visit costs is known before the weights are (how they spread over the layers is
not, which matters to `cost.sparse_speedup` alone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.papers import FIARSE as PUBLISHED
from edgesim.registry import component
from edgesim.submodels._importance import mask_bytes
from edgesim.submodels._rule import MASK, Masked, Rule
from edgesim.submodels._submodel import Context, Mask, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._structure import ModelStructure
    from edgesim.submodels._rule import Tensors

THRESHOLD = "threshold/"
"""Before the name of a parameter: the aux number that the size of its weights must reach."""

_ROUNDING = 1e-6  # 0.29 x 100 is a little less than 29


@dataclass(frozen=True)
class ImportanceAware(Masked):
    """The weights above the threshold run, and learn how far above it they are."""

    def aux(self, submodel: Submodel, params: Tensors) -> dict[str, Tensor]:
        """What was held at the beginning, and the threshold of each tensor."""
        import torch

        assert submodel.mask is not None
        thresholds = {
            THRESHOLD + name: torch.tensor(threshold, dtype=params[name].dtype, device=params[name].device)
            for name, threshold in submodel.mask.thresholds.items()
        }
        return super().aux(submodel, params) | thresholds

    def view(self, params: Tensors, aux: Tensors) -> Tensors:
        """The weights that are active now."""
        return {
            name: _active(p, aux[MASK + name], aux[THRESHOLD + name]) if MASK + name in aux else p
            for name, p in params.items()
        }


def _active(weight: Tensor, held: Tensor, threshold: Tensor) -> Tensor:
    """The weight where it is held and reaches the threshold, with the gradient of the smooth mask."""
    import torch

    fixed = weight.detach()
    size = fixed.abs()
    # A weight of 0 at a threshold of 0 would give 0/0; its factor is 1.
    share = torch.where(size > 0, size / (size + threshold), 0.0)
    factor = 1 + 2 * share * (1 - share)
    return held * (size >= threshold) * (fixed + factor * (weight - fixed))


Scope = Mapping[str, tuple[int, ...]]
"""Tensors, by name with their shapes, whose weights are ranked together."""


def _scopes(structure: ModelStructure, *, layerwise: bool) -> tuple[Scope, ...]:
    """The weights and biases of convolutions and linear layers: of the whole model, or of each layer."""
    layers = [
        {name: structure.shapes[name] for name in layer.own_tensors}
        for layer in structure.layers
        if layer.kind in ("conv", "linear")
    ]
    return (
        tuple(layers) if layerwise else ({name: shape for layer in layers for name, shape in layer.items()},)
    )


@dataclass(frozen=True, eq=False)
class Ranking:
    """The weights of one version by size, and the sub-models that were asked for.

    Where nothing is trained there are no weights, and those of each tensor count as evenly spread in size: as
    many are held as of the real model, though others.

    Attributes:
        scopes: what is ranked.
        layers: indices of all layers.
        weights: of the version; empty where nothing is trained.
    """

    scopes: tuple[Scope, ...]
    layers: frozenset[int]
    weights: Mapping[str, Tensor]
    _known: dict[float, Submodel] = field(default_factory=dict)

    def submodel(self, density: float) -> Submodel:
        """The largest weights, as many as this share says; always the same object."""
        if density not in self._known:
            self._known[density] = self._made(density)
        return self._known[density]

    def _made(self, density: float) -> Submodel:
        mask = self._mask(density)
        held, total = sum(mask.kept.values()), sum(map(_elements, self.scopes))
        return Submodel(
            label=f"fiarse density {density:g}",
            capacity=density,
            layers=self.layers,
            mask_bytes=mask_bytes(held, total),
            mask=mask,
            share=density,
        )

    def _mask(self, density: float) -> Mask:
        import torch

        held: dict[str, Tensor] = {}
        thresholds: dict[str, float] = {}
        for scope in self.scopes:
            count = math.floor(density * _elements(scope) + _ROUNDING)
            threshold, chosen = _largest(self._sizes(scope), count)
            parts = torch.split(chosen, [math.prod(shape) for shape in scope.values()])
            held |= {name: part.reshape(scope[name]) for name, part in zip(scope, parts, strict=True)}
            thresholds |= dict.fromkeys(scope, threshold)
        return Mask(
            density=density,
            kept={name: int(part.sum()) for name, part in held.items()},
            make=lambda: {name: part.cpu().numpy() for name, part in held.items()},
            thresholds=thresholds,
        )

    def _sizes(self, scope: Scope) -> Tensor:
        """|W| of all coordinates of a scope, in forward order."""
        import torch

        if self.weights:
            return torch.cat([self.weights[name].abs().flatten() for name in scope])
        return torch.cat([torch.linspace(1, 0, math.prod(shape) + 2)[1:-1] for shape in scope.values()])


def _elements(scope: Scope) -> int:
    return sum(math.prod(shape) for shape in scope.values())


def _largest(sizes: Tensor, count: int) -> tuple[float, Tensor]:
    """The size of the `count`-th largest, infinite for none, and which `count` coordinates are held."""
    import torch

    if count == 0:
        return math.inf, torch.zeros_like(sizes, dtype=torch.bool)
    threshold = sizes.kthvalue(len(sizes) - count + 1).values
    held = sizes > threshold
    ties = (sizes == threshold).nonzero().squeeze(1)
    held[ties[: count - int(held.sum())]] = True
    return float(threshold), held


@component
class FIARSE(ScalarStrategy):
    """The largest weights of the whole model, as many as the device can carry.

    Batch norms: recalibrated before each evaluation.

    Attributes:
        density: g on every device; absent: the fleet entry's `capacity`, or fitted per device.
        layerwise: whether each layer gives its own largest weights, and not the whole model.
    """

    papers = (PUBLISHED,)
    costs_need_weights: ClassVar[bool] = True
    full_is_fedavg: ClassVar[bool] = False  # even where all weights are held, the mask has its gradient
    nested: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"
    number: ClassVar[str] = "density"

    density: Fraction | None = None
    layerwise: bool = False

    @property
    def rule(self) -> Rule:
        """The smooth mask."""
        return ImportanceAware()

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """The four sizes of the paper."""
        return (1 / 64, 1 / 16, 1 / 4, 1.0)

    def remember(
        self,
        weights: Mapping[str, Any],
        structure: ModelStructure,
        before: Any,  # noqa: ARG002
        version: int,  # noqa: ARG002
    ) -> Ranking:
        """The weights of this version, to be ranked once a density is asked for."""
        return Ranking(_scopes(structure, layerwise=self.layerwise), structure.all_layers, weights)

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:
        """The largest weights of the version, as many as the device's density says."""
        density = self.share_of(context)
        ranking = context.memory or self.remember(weights, structure, None, context.version)
        return ranking.submodel(density)
