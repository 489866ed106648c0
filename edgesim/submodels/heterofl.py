"""HeteroFL (Diao, Ding, Tarokh, ICLR 2021; algorithms 3.8): devices hold the first channels of every layer.

    rate    share of the units of each hidden layer    `width`
    a..e    the ladder 1, 1/2, 1/4, 1/8, 1/16

Hidden activations are divided by the rate in training, so that the whole network can be evaluated unscaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.papers import HETEROFL
from edgesim.registry import component
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._rule import PresentClasses, Rule
from edgesim.submodels._submodel import Context, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure


@component
class HeteroFL(ScalarStrategy):
    """The first channels of every hidden layer, as many as the device can carry.

    Batch norms: recalibrated before each evaluation, which is HeteroFL's static batch norm.

    Attributes:
        width: rate on every device; absent: the fleet entry's `capacity`, or fitted per device.
        scaler: whether hidden activations are divided by the rate in training.
        masked_classes: whether logits of classes that a device lacks are masked, and their rows not merged.
    """

    papers = (HETEROFL,)
    full_is_fedavg: ClassVar[bool] = (
        False  # with its extras off it is: `masked_classes: false`, equal weights
    )
    nested: ClassVar[bool] = True
    client_weights: ClassVar[Literal["samples", "equal"]] = "equal"
    number: ClassVar[str] = "width"

    width: Fraction | None = None
    scaler: bool = True
    masked_classes: bool = True

    @property
    def rule(self) -> Rule:
        """Masked cross-entropy, unless it is switched off."""
        return PresentClasses() if self.masked_classes else Rule()

    @property
    def constant(self) -> bool:
        """The prefix of a rate is always the same."""
        return True

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """The prefix of the device's rate."""
        rate = self.share_of(context)
        return Submodel(
            label=f"heterofl width {rate:g}",
            capacity=rate,
            layers=structure.all_layers,
            cut=None if rate == 1 else prefix_cut(structure.units, rate),
            scaler=self.scaler,
            share=rate**2,
        )
