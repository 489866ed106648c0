"""FedAvg (McMahan et al. 2017; algorithms 3.1): every device trains the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.papers import FEDAVG
from edgesim.registry import component
from edgesim.submodels._submodel import Context, Floats, Submodel, SubmodelStrategy

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure


@component
class Full(SubmodelStrategy):
    """The whole model on every device. Batch norms: running statistics are averaged with the parameters."""

    papers = (FEDAVG,)
    batch_norm: ClassVar[Literal["running", "recalibrated"]] = "running"
    partial: ClassVar[bool] = False

    @property
    def constant(self) -> bool:
        """There is one sub-model."""
        return True

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """There is one capacity."""
        return (1.0,)

    def fixed_capacity(self) -> float:
        """The whole model."""
        return 1.0

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The whole model."""
        return Submodel(label="full", capacity=1.0, layers=structure.all_layers)

    def expected_step(self, curvatures: Floats, offsets: Floats) -> tuple[Floats, Floats]:
        """The gradient's own: nothing is drawn."""
        return curvatures, offsets
