"""FedRolex (Alam et al., NeurIPS 2022; algorithms 3.9): HeteroFL with a window that rolls.

    C        units of a layer
    n        units in the window             ceil(rate x C)
    t        version of the model
    window   units (j - t) mod C, j < n

The window advances by one unit per version, and all rates share its start. Layers of different sizes wrap at
different times. Neighbouring layers of equal size roll in step, so that weights between units that are far
apart are never trained by small rates: the coverage table shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgesim.papers import FEDROLEX
from edgesim.registry import component
from edgesim.submodels._drawn import drawn_cut, drawn_name
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._submodel import Context, Cut, Submodel
from edgesim.submodels.heterofl import HeteroFL

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure
    from edgesim.models._units import UnitLayout


@component
class FedRolex(HeteroFL):
    """A window of channels of every hidden layer, as many as the device can carry.

    Attributes:
        window: `rolling`, or `random`: any channels, drawn anew for each visit (federated dropout).
    """

    papers = (FEDROLEX,)

    window: Literal["rolling", "random"] = "rolling"

    @property
    def constant(self) -> bool:
        """The window moves."""
        return False

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The window of the device's rate; in one version it is the same object for all devices."""
        rate = self.share_of(context)
        if self.window == "rolling" or rate == 1:
            return _rolled(structure.units, structure.all_layers, rate, context.version, self.scaler)
        label = f"fedrolex random width {rate:g}"
        return Submodel(
            label=label,
            capacity=rate,
            layers=structure.all_layers,
            cut=drawn_cut(structure.units, rate, context),
            scaler=self.scaler,
            share=rate**2,
            name=drawn_name(label, context),
        )


@lru_cache(maxsize=256)
def _rolled(layout: UnitLayout, layers: frozenset[int], rate: float, version: int, scaler: bool) -> Submodel:
    return Submodel(
        label=f"fedrolex width {rate:g}",
        capacity=rate,
        layers=layers,
        cut=None if rate == 1 else _window(layout, rate, version),
        scaler=scaler,
        share=rate**2,
    )


def _window(layout: UnitLayout, rate: float, version: int) -> Cut:
    first = prefix_cut(layout, rate)
    rolled = zip(first.kept, layout.groups, strict=True)
    return Cut(tuple(np.sort((units - version) % group.size) for units, group in rolled), first.rates)
