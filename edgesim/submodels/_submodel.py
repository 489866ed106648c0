"""What a device holds of the model and what it trains of that, and who decides it.

*Held* and *trained* are separate (algorithms 1.1): a method may run the whole forward pass and train a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.registry import component
from edgesim.submodels._rule import Rule
from edgesim.yaml_source import PositiveSeconds

if TYPE_CHECKING:
    from edgesim.models._structure import ModelStructure


@dataclass(frozen=True, eq=False)
class Cut:
    """The units that a device holds; one object for each set, so that what is prepared for it is found again.

    Attributes:
        kept: per unit group, the numbers of the kept units, ascending.
        rate: share of the units that is kept.
    """

    kept: tuple[NDArray[np.int64], ...]
    rate: float

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of kept units per group."""
        return tuple(len(units) for units in self.kept)


@dataclass(frozen=True, slots=True)
class Submodel:
    """The part of the model that one visit works on.

    Attributes:
        label: for people and tables, such as `fedpmt depth 2`.
        capacity: the capacity on the strategy's ladder that it was made for.
        first_layer: index of the first trained layer; all layers are held and run forward.
        mask_bytes: what describing the sub-model adds to the download (algorithms 1.5).
        cut: the units that are held; null for all of them.
        scale: what hidden activations are divided by in training.
    """

    label: str
    capacity: float
    first_layer: int
    mask_bytes: int = 0
    cut: Cut | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may know of a visit, beside the weights and the structure.

    Attributes:
        device: number of the device.
        visit: the how-manieth visit of this device.
        version: version of the model.
        capacity: the capacity that the device was given; null where the strategy has none to give.
    """

    device: int
    visit: int
    version: int
    capacity: float | None


@component
class Fit:
    """Fit the capacity per device: the largest whose expected visit meets a target and fits in memory.

    Attributes:
        target: seconds of a visit (download, compute, upload); absent: half of the slowest class's full-model
            visit.
    """

    target: PositiveSeconds | None = None


@component
class SubmodelStrategy:
    """Decides what each device trains. Deterministic given weights, structure and context.

    Class claims, measured by the contract tests:
        full_is_fedavg: at its largest capacity the method is FedAvg.
        costs_need_weights: what a visit costs depends on the weights, so that `--timing-only` cannot know it.
        partial: a device may train less than the whole model.
        disjoint: the sub-models of one round are parts of which no two train the same coordinate.
        exact_coverage: over its visits each device trains all coordinates equally often.

    Defaults for the scenario's other choices:
        aggregation: how its updates are merged.
        client_weights: how much a client counts there.
    """

    full_is_fedavg: ClassVar[bool] = True
    costs_need_weights: ClassVar[bool] = False
    partial: ClassVar[bool] = True
    disjoint: ClassVar[bool] = False
    exact_coverage: ClassVar[bool] = False
    aggregation: ClassVar[str] = "covered"
    client_weights: ClassVar[Literal["samples", "equal"]] = "samples"

    @property
    def rule(self) -> Rule:
        """What the method changes in a local step."""
        return Rule()

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:
        """The capacities that a device may be given, ascending; one alone where nothing can be chosen."""
        raise NotImplementedError

    def fixed_capacity(self) -> float | None:
        """The capacity that the scenario fixes for every device; null where it is fitted per device."""
        raise NotImplementedError

    def fit_target_s(self) -> float | None:
        """Seconds that a fitted visit may take; null for the default (see `Fit`)."""
        return None

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:
        """The sub-model of one visit."""
        raise NotImplementedError
