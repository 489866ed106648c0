"""FedPMT (Wu et al., arXiv 2311.10002; algorithms 3.2): the whole forward pass, a backward pass cut short.

A device receives the whole model, trains the last `depth` layers, counted from the classifier, and sends them
back.

    L    number of layers       `len(structure.layers)`
    s    first trained layer    `first_layer` = L - depth, counted from 0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgesim.errors import InputError, Problem
from edgesim.registry import component
from edgesim.submodels._submodel import Context, Fit, Submodel, SubmodelStrategy
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

DEPTH_BYTES = 1  # the depth itself is sent along (algorithms 1.5)


@component
class FedPMT(SubmodelStrategy):
    """Layer-wise partial training.

    Attributes:
        depth: trained layers on every device; absent: the fleet entry's `capacity`, or fitted per device.
        fit: how it is fitted.
    """

    depth: Count | None = None
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if self.depth is not None and self.fit is not None:
            raise ValueError("give depth or fit, not both: a fixed depth is not fitted")

    def fit_target_s(self) -> float | None:
        """Target of the fit, where the scenario gives one."""
        return None if self.fit is None else self.fit.target

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:
        """Every depth from the classifier alone to all layers."""
        return tuple(float(depth) for depth in range(1, len(structure.layers) + 1))

    def fixed_capacity(self) -> float | None:
        """The depth, where the scenario gives one."""
        return None if self.depth is None else float(self.depth)

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The suffix of the device's depth.

        Raises:
            InputError: the depth is no whole number from 1 to the number of layers.
        """
        layers = len(structure.layers)
        depth = context.capacity
        if depth is None or depth != int(depth) or not 1 <= depth <= layers:
            raise InputError(
                Problem(
                    f"must be a whole number from 1 to {layers}, the layers of this model; got {depth}",
                    "submodel.depth",
                )
            )
        return Submodel(
            label=f"fedpmt depth {int(depth)}",
            capacity=depth,
            first_layer=layers - int(depth),
            mask_bytes=DEPTH_BYTES,
        )
