"""A sub-model method of one's own: from the model's structure, which layers a visit trains."""

from collections.abc import Mapping
from typing import Any

from edgesim.models._structure import ModelStructure
from edgesim.registry import component
from edgesim.submodels._submodel import Context, Submodel, SubmodelStrategy


@component
class TakingTurns(SubmodelStrategy):
    """Every device trains one layer and the classifier, another layer at each of its visits.

    A device's capacity is the number of layers that it trains at once, and here that is always the same.
    """

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:
        """There is one capacity."""
        return (2.0,)

    def fixed_capacity(self) -> float:
        """It holds for all devices."""
        return 2.0

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:
        """The layer whose turn it is; devices begin with different ones."""
        hidden = len(structure.layers) - 1
        turn = (context.device + context.visit) % max(1, hidden)
        layers = frozenset({turn, hidden})
        return Submodel(label="one layer", capacity=2.0, layers=layers, mask_bytes=1)
