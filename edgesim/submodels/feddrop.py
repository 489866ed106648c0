"""FedDrop (Wen, Jeon, Huang, arXiv 2109.15258; algorithms 3.3): random units, as many as a device can carry.

    q_k    share of the units that device k keeps    `keep`

Each visit keeps random units of the hidden fully connected layers, drawn independently of all others, and
divides what they put out by q in training, so that the whole network can be evaluated unscaled. Convolutions,
where the parameters of a layer are few, stay whole unless `drop_conv` is set. With one rate for all devices
and `drop_conv: true` this is federated dropout (Caldas et al., arXiv 1812.07210).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesim.errors import InputError, Problem
from edgesim.papers import FEDDROP, FEDERATED_DROPOUT
from edgesim.registry import component
from edgesim.submodels._drawn import drawn_cut, drawn_name
from edgesim.submodels._submodel import Context, Cut, ScalarStrategy, Submodel
from edgesim.yaml_source import Fraction

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure

_STEPS = 20  # the paper's rates are continuous; each step is a small network to size, in 20 to 200 ms


@component
class FedDrop(ScalarStrategy):
    """Random units of the fully connected layers, as many as the device can carry.

    Attributes:
        keep: q on every device; absent: the fleet entry's `capacity`, or fitted per device.
        mode: `exact` keeps ceil(q x units) units of a layer, at least one, so that costs are known
            beforehand; `bernoulli` keeps each with probability q, and traces each combination of widths anew.
        drop_conv: whether channels of convolutions are dropped too.
        scaler: whether the outputs of layers that lose units are divided by q in training.
    """

    papers = (FEDDROP, FEDERATED_DROPOUT)
    number: ClassVar[str] = "keep"

    keep: Fraction | None = None
    mode: Literal["exact", "bernoulli"] = "exact"
    drop_conv: bool = False
    scaler: bool = True

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """Rates in steps of 0.05."""
        return tuple(step / _STEPS for step in range(1, _STEPS + 1))

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:  # noqa: ARG002
        """A fresh draw; where only costs are asked for, one of the expected size.

        Raises:
            InputError: the model has no hidden fully connected layer, and `drop_conv` is not set.
        """
        rate = self.share_of(context)
        label = f"feddrop keep {rate:g}"
        return Submodel(
            label=label,
            capacity=rate,
            layers=structure.all_layers,
            cut=None if rate == 1 else self._cut(structure, rate, context),
            scaler=self.scaler,
            name=drawn_name(label, context),
        )

    def _cut(self, structure: ModelStructure, rate: float, context: Context) -> Cut:
        linear = {layer.name for layer in structure.layers if layer.kind == "linear"}
        groups = structure.units.groups
        rates = [rate if self.drop_conv or linear.issuperset(group.makers) else 1.0 for group in groups]
        if set(rates) <= {1.0}:
            message = (
                "is false, and the model has no hidden fully connected layer to drop from; set it to true"
            )
            raise InputError(Problem(message, "submodel.drop_conv"))
        return drawn_cut(structure.units, rates, context, exact=self.mode == "exact")
