"""What a device holds of the model and what it trains of that, and who decides it.

*Held* and *trained* are separate (algorithms 1.1): a method may run the whole forward pass and train a part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem
from edgesim.papers import Paper
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.submodels._rule import Rule
from edgesim.yaml_source import PositiveSeconds

if TYPE_CHECKING:
    from torch import Tensor

    from edgesim.models._structure import ModelStructure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cut:
    """The units that a device holds; one object for each set, so that what is prepared for it is found again.

    Attributes:
        kept: per unit group, the numbers of the kept units, ascending.
        rates: per unit group, the share of its units that was asked for.
    """

    kept: tuple[NDArray[np.int64], ...]
    rates: tuple[float, ...]

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of kept units per group."""
        return tuple(len(units) for units in self.kept)


@dataclass(frozen=True, eq=False)
class Mask:
    """The single coordinates that a device holds; one object for each set, as with a cut.

    How many there are is known at once, which of them only when somebody trains: a timeline needs no more
    than the first.

    Attributes:
        density: share of the coordinates that was asked for.
        kept: per masked tensor, the number of held coordinates; tensors that are absent are held whole.
        make: gives the masks, boolean arrays in the shape of their tensors.
        thresholds: per tensor, what the size of a weight must reach to stay active (FIARSE); empty elsewhere.
    """

    density: float
    kept: Mapping[str, int]
    make: Callable[[], Mapping[str, NDArray[np.bool_]]] = field(repr=False)
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> Mapping[str, NDArray[np.bool_]]:
        """The masks; made once."""
        return self.make()

    def of(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The masks of those of these parameters that have one, as boolean tensors beside them."""
        import torch

        return {
            name: torch.from_numpy(held).to(params[name].device)
            for name, held in self.tensors.items()
            if name in params
        }


@dataclass(frozen=True, eq=False)
class Nest:
    """Levels within what a device holds, of which each batch runs one (FjORD); one object for each set.

    Attributes:
        levels: how many there are; the last is all that is held.
        first: per tensor and dimension, the first level that has each of its coordinates, [size]; null for a
            dimension that every level has whole, as every level has the tensors that are absent.
        runs: what a batch runs: how often on average, and which sub-model.
    """

    levels: int
    first: Mapping[str, tuple[NDArray[np.int64] | None, ...]]
    runs: tuple[tuple[float, Submodel], ...]


@dataclass(frozen=True, eq=False)
class Submodel:
    """The part of the model that one visit works on.

    Attributes:
        label: for people and tables, such as `fedpmt depth 2`.
        capacity: the capacity on the strategy's ladder that it was made for.
        layers: indices of the trained layers; all layers are held and run forward.
        mask_bytes: what describing the sub-model adds to the download (algorithms 1.5).
        cut: the units that are held; null for all of them.
        mask: the coordinates that are held and trained; null for all of them.
        holds_all: whether the others are held too, and run; the mask then says what is trained and sent back.
        frozen: tensors of trained layers that are run and not trained, as another device trains them.
        nest: what of it each batch runs; null for all of it.
        scaler: whether hidden activations are divided by the held share in training.
        share: of the model that is held, where a scenario charges for that and not for what is really sent;
            null for the share of the trained parameters.
        name: of what is held: equal names are the same part of one version, so that a multicast sends it
            once; null for the label.
    """

    label: str
    capacity: float
    layers: frozenset[int]
    mask_bytes: int = 0
    cut: Cut | None = None
    mask: Mask | None = None
    holds_all: bool = False
    frozen: frozenset[str] = frozenset()
    nest: Nest | None = None
    scaler: bool = False
    share: float | None = None
    name: str | None = None

    @property
    def held_mask(self) -> Mask | None:
        """The coordinates that are held; null for all of them."""
        return None if self.holds_all else self.mask

    @property
    def key(self) -> str:
        """Name of what is held."""
        if self.cut is None and self.held_mask is None:
            return "weights"
        return self.label if self.name is None else self.name


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may know of a visit, beside the weights and the structure.

    Attributes:
        device: number of the device.
        visit: the how-manieth visit of this device.
        version: version of the model.
        capacity: the capacity that the device was given; null where the strategy has none to give.
        place: the how-manieth of the visits that leave together.
        together: how many leave together.
        streams: of the seed of learning; null where the visit is only charged for, so that it does not matter
            which units or coordinates it gets.
        memory: what the strategy's `remember` gave.
    """

    device: int
    visit: int
    version: int
    capacity: float | None
    place: int = 0
    together: int = 1
    streams: Streams | None = None
    memory: Any = None


def expected(capacity: float, together: int = 1) -> Context:
    """The context of a visit that is only charged for."""
    return Context(device=0, visit=0, version=0, capacity=capacity, together=together)


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
        costs_need_weights: how what is held spreads over the layers depends on the weights, and so, with
            `cost.sparse_speedup`, do seconds: `--timing-only` cannot know them. All else does not.
        partial: a device may train less than the whole model.
        disjoint: the sub-models of one round are parts of which no two train the same coordinate.
        exact_coverage: over its visits each device trains all coordinates equally often.
        nested: of one version, the sub-model of a smaller capacity is a part of that of a larger one.
        remembers: it keeps something from version to version (see `remember`).
        scalar: its capacity is one number that may grow during a run.
        papers: behind the method.

    Policy:
        batch_norm: what becomes of running statistics. `running` averages them like parameters.
            `recalibrated` never mixes those of different widths or masks: the model keeps none, training
            normalises by the batch, and before each evaluation they are taken afresh from training samples.

    Defaults for the scenario's other choices:
        aggregation: how its updates are merged.
        client_weights: how much a client counts there.
        staleness_exponent: a of the discount (tau + 1)^-a there; null: old updates count as fresh ones do.
        growth: how its capacity grows.
        coordination: when devices are sent out and updates merged; null: the scenario has to say.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    full_is_fedavg: ClassVar[bool] = True
    costs_need_weights: ClassVar[bool] = False
    partial: ClassVar[bool] = True
    disjoint: ClassVar[bool] = False
    exact_coverage: ClassVar[bool] = False
    nested: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    scalar: ClassVar[bool] = False
    batch_norm: ClassVar[Literal["running", "recalibrated"]] = "recalibrated"
    aggregation: ClassVar[str] = "covered"
    client_weights: ClassVar[Literal["samples", "equal"]] = "samples"
    staleness_exponent: ClassVar[float | None] = None
    growth: ClassVar[str] = "none"
    coordination: ClassVar[str | None] = None

    @property
    def rule(self) -> Rule:
        """What the method changes in a local step."""
        return Rule()

    @property
    def needs_functions(self) -> bool:
        """Whether it reads samples as functions of the parameters (`Dataset.functions`), and no others."""
        return False

    @property
    def constant(self) -> bool:
        """Whether the sub-model depends on nothing but the capacity."""
        return False

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:
        """The capacities that a device may be given, ascending; one alone where nothing can be chosen."""
        raise NotImplementedError

    def fixed_capacity(self) -> float | None:
        """The capacity that the scenario fixes for every device; null where it is fitted per device."""
        raise NotImplementedError

    def fit_target_s(self) -> float | None:
        """Seconds that a fitted visit may take; null for the default (see `Fit`)."""
        return None

    def remember(
        self,
        weights: Mapping[str, Any],  # noqa: ARG002
        structure: ModelStructure,  # noqa: ARG002
        before: Any,  # noqa: ARG002
        version: int,  # noqa: ARG002
    ) -> Any:
        """What is kept for the visits of a version, from what was kept before; frozen. Asked for once each.

        Args:
            weights: of this version; empty where nothing is trained.
            structure: of the model.
            before: what the last call gave; null at first.
            version: of the model, from 0.
        """
        return None

    def assign(self, weights: Mapping[str, Any], structure: ModelStructure, context: Context) -> Submodel:
        """The sub-model of one visit; weights are empty where only its cost is asked for."""
        raise NotImplementedError

    def expected_step(self, curvatures: Floats, offsets: Floats) -> tuple[Floats, Floats] | None:  # noqa: ARG002
        """What a client's step multiplies the model with, and what it takes from that, on average over draws.

        On quadratics 1/2 x'A_i x - b_i'x, where all clients leave together from x and each takes one step of
        the full gradient, client i goes from x by gamma (M_i x - v_i) on average, whatever was drawn before.

        Args:
            curvatures: A_i [n, d, d].
            offsets: b_i [n, d].

        Returns:
            M_i [n, d, d] and v_i [n, d]; null where they are not known exactly.
        """
        return None


@component
class ScalarStrategy(SubmodelStrategy):
    """A method whose capacity is one number: a width, a density, a depth.

    A subclass names the field that fixes it in `number`, and checks it in `capacity_of` unless it is a share.

    Attributes:
        fit: how the number is fitted per device where neither the method nor the fleet gives it.
    """

    scalar: ClassVar[bool] = True
    number: ClassVar[str]

    fit: Fit | None = None

    def __post_init__(self) -> None:
        if self.fixed_capacity() is not None and self.fit is not None:
            raise ValueError(f"give {self.number} or fit, not both: a fixed {self.number} is not fitted")

    def fixed_capacity(self) -> float | None:
        """The number, where the scenario gives it."""
        given: float | None = getattr(self, self.number)
        return None if given is None else float(given)

    def fit_target_s(self) -> float | None:
        """Target of the fit, where the scenario gives one."""
        return None if self.fit is None else self.fit.target

    def ladder(self, structure: ModelStructure) -> tuple[float, ...]:  # noqa: ARG002
        """The five rates of HeteroFL, ascending; other methods have their own."""
        return (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)

    def share_of(self, context: Context) -> float:
        """The device's capacity as a share of the model.

        Raises:
            InputError: it is not above 0 and at most 1.
        """
        share = context.capacity
        if share is None or not 0 < share <= 1:
            message = f"must be above 0 and at most 1, got {share}"
            raise InputError(Problem(message, f"submodel.{self.number}"))
        return share
