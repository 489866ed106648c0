"""FedGMR (arXiv 2512.05372; algorithms 3.7 (1)): a device holds the most important weights.

    P_i     share of the prunable weights          `density`
    W_prev  the model at the previous refresh      `before.weights`
    K_rest  versions from one refresh to the next  `refresh`

All masks of a refresh come from one ordering of the weights, so that they are nested and a server that
multicasts sends each weight once (3.7 (2)). Local steps run on the masked weights (3.7 (3)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.papers import FEDGMR
from edgesim.registry import component
from edgesim.submodels._importance import Ordering, mask_bytes, nominal, prunable
from edgesim.submodels._rule import Masked, Rule
from edgesim.submodels._submodel import Context, ScalarStrategy, Submodel
from edgesim.yaml_source import Count, Fraction

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._structure import ModelStructure


@dataclass(frozen=True, eq=False)
class Refresh:
    """What lasts from one refresh of the masks to the next.

    Attributes:
        number: of the refresh, from 0.
        ordering: of the weights.
        weights: the prunable ones at that time; empty where nothing is trained.
        made: the sub-model of each density that was asked for.
    """

    number: int
    ordering: Ordering
    weights: Mapping[str, Tensor]
    made: dict[float, Submodel] = field(default_factory=dict)


@component
class FedGMR(ScalarStrategy):
    """The most important weights of all layers but the last, in masks that are refreshed now and then.

    Attributes:
        density: share of the prunable weights on every device; absent: the fleet entry's `capacity`, or
            fitted per device.
        score: what makes a weight important: `wg` |W (W - W_prev)|; `w` |W|, by which the published results
            were made; `g2` (W - W_prev)^2, the squared gradient of PR-FL as far as a server knows it: the
            change of the model is what it has of gradients. The first refresh goes by |W|.
        refresh: versions from one refresh to the next.
    """

    papers = (FEDGMR,)
    costs_need_weights: ClassVar[bool] = True
    nested: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    staleness_exponent: ClassVar[float | None] = 0.6
    growth: ClassVar[str] = "adaptive"
    coordination: ClassVar[str | None] = "semi_asynchronous"
    number: ClassVar[str] = "density"

    density: Fraction | None = None
    score: Literal["w", "wg", "g2"] = "wg"
    refresh: Count = 25

    @property
    def rule(self) -> Rule:
        """The network runs with the masked weights."""
        return Masked()

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """The densities of the paper's five bandwidth classes."""
        return (0.05, 0.1, 0.2, 0.5, 1.0)

    def remember(
        self, weights: Mapping[str, Any], structure: ModelStructure, before: Refresh | None, version: int
    ) -> Refresh:
        """The ordering of the last refresh, or a new one where it is time."""
        number = version // self.refresh
        if before is not None and before.number == number:
            return before
        if not weights:
            return Refresh(number, nominal(structure), {})
        now = {name: weights[name] for name in prunable(structure)}
        ordering = self._ordering(structure, now, before.weights if before is not None else {})
        return Refresh(number, ordering, now)

    def _ordering(
        self, structure: ModelStructure, now: Mapping[str, Tensor], before: Mapping[str, Tensor]
    ) -> Ordering:
        magnitudes = [weight.detach().abs() for weight in now.values()]
        scores = magnitudes
        if before and self.score != "w":
            changes = [now[name].detach() - before[name] for name in now]
            scores = [
                (size * change).abs() if self.score == "wg" else change.square()
                for size, change in zip(magnitudes, changes, strict=True)
            ]
        return Ordering.of(
            structure,
            [size.flatten().cpu().numpy() for size in magnitudes],
            [score.flatten().cpu().numpy() for score in scores],
        )

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The sub-model of the device's density: between refreshes always the same object."""
        density = self.share_of(context)
        refresh: Refresh = context.memory or Refresh(0, nominal(structure), {})
        if density not in refresh.made:
            refresh.made[density] = self._submodel(structure, density, refresh.ordering)
        return refresh.made[density]

    def _submodel(self, structure: ModelStructure, density: float, ordering: Ordering) -> Submodel:
        return Submodel(
            label=f"fedgmr density {density:g}",
            capacity=density,
            layers=structure.all_layers,
            mask_bytes=mask_bytes(ordering.count(density), len(ordering.scores)),
            mask=None if density == 1 else ordering.mask(density),
            share=density,
        )
