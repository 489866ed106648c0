"""HeteroFL (Diao, Ding, Tarokh, ICLR 2021; algorithms 3.8): devices hold the first channels of every layer.

    rate    share of the units of each hidden layer    `width`
    a..e    the ladder 1, 1/2, 1/4, 1/8, 1/16

Hidden activations are divided by the rate in training, so that the whole network can be evaluated unscaled.
Batch norms are the model's: HeteroFL's own are static (`resnet18 {norm: static_batch}`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.errors import InputError, Problem
from edgesim.registry import component
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._rule import PresentClasses, Rule
from edgesim.submodels._submodel import Context, Fit, Submodel, SubmodelStrategy
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure


@component
class HeteroFL(SubmodelStrategy):
    """The first channels of every hidden layer, as many as the device can carry.

    Attributes:
        width: rate on every device; absent: the fleet entry's `capacity`, or fitted per device.
        fit: how it is fitted.
        scaler: whether hidden activations are divided by the rate in training.
        masked_classes: whether logits of classes that a device lacks are masked, and their rows not merged.
    """

    full_is_fedavg: ClassVar[bool] = (
        False  # with its extras off it is: `masked_classes: false`, equal weights
    )
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"

    width: Fraction | None = None
    fit: Fit | None = None
    scaler: bool = True
    masked_classes: bool = True

    def __post_init__(self) -> None:
        if self.width is not None and self.fit is not None:
            raise ValueError("give width or fit, not both: a fixed width is not fitted")

    @property
    def rule(self) -> Rule:
        """Masked cross-entropy, unless it is switched off."""
        return PresentClasses() if self.masked_classes else Rule()

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """The five rates of the paper, ascending."""
        return (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)

    def fixed_capacity(self) -> float | None:
        """The width, where the scenario gives one."""
        return self.width

    def fit_target_s(self) -> float | None:
        """Target of the fit, where the scenario gives one."""
        return None if self.fit is None else self.fit.target

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The prefix of the device's rate.

        Raises:
            InputError: the rate is not above 0 and at most 1.
        """
        rate = context.capacity
        if rate is None or not 0 < rate <= 1:
            raise InputError(Problem(f"must be above 0 and at most 1, got {rate}", "submodel.width"))
        return Submodel(
            label=f"heterofl width {rate:g}",
            capacity=rate,
            first_layer=0,
            cut=None if rate == 1 else prefix_cut(structure.units, rate),
            scale=rate if self.scaler else 1.0,
        )
