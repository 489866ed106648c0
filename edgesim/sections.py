"""The parts of a scenario that are no components: seeds, local training, evaluation, stop, execution."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import core_schema

from edgesim import yaml_source
from edgesim.errors import show_value
from edgesim.learner import falls
from edgesim.registry import Named, component
from edgesim.yaml_source import Count, Fraction, NonNegative, Positive, PositiveSeconds

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """The base of every part of a scenario: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Seeds(Section):
    """One seed for each half of a run, so that one may be varied while the other is held."""

    learning: Seed
    timing: Seed


@component
class Constant:
    """The learning rate as given."""

    def factor(self, version: int) -> float:  # noqa: ARG002
        """What the learning rate is multiplied by."""
        return 1.0


@component
class Exponential:
    """The learning rate times `decay` for every version of the model (0.99 in FedAvg's CIFAR-10 setting)."""

    decay: Fraction

    def factor(self, version: int) -> float:
        """What the learning rate is multiplied by in a visit that starts from this version."""
        return self.decay**version


@component
class Inverse:
    """The learning rate times t0 / (t0 + t), t counting the model's versions: the decrease of theory.

    Attributes:
        versions: t0, after which the learning rate is halved.
    """

    versions: Positive

    def factor(self, version: int) -> float:
        """What the learning rate is multiplied by in a visit that starts from this version."""
        return self.versions / (self.versions + version)


@component
class Milestones:
    """The learning rate times `decay` from each of these versions of the model on (HeteroFL, FedRolex).

    Attributes:
        at: the versions.
        decay: factor of each.
    """

    at: Annotated[tuple[Count, ...], Field(min_length=1)]
    decay: Fraction

    def factor(self, version: int) -> float:
        """What the learning rate is multiplied by in a visit that starts from this version."""
        return float(self.decay ** sum(version >= milestone for milestone in self.at))


_SCHEDULES: dict[str, type[Any]] = {
    "constant": Constant,
    "exponential": Exponential,
    "inverse": Inverse,
    "milestones": Milestones,
}
Schedule = Annotated[Constant | Exponential | Inverse | Milestones, Named(lambda: _SCHEDULES, "schedule")]


class Training(Section):
    """Local training.

    Attributes:
        epochs: passes over a device's samples in one visit; 1 unless `steps` is given.
        steps: optimiser steps of one visit, instead of epochs.
        proximal: weight mu of the FedProx term.
        clip_norm: largest norm of a step's gradient.
        loss: of a sample; no choice where the model gives that itself, as `vector` does.
        batch_norm: what becomes of running statistics, in place of what the method does (`batch_norm` of
            `SubmodelStrategy`): `running` averages them like parameters, also over devices that held
            different sub-models, each of which has statistics of its own; `recalibrated` keeps none and takes
            them afresh from training samples before each evaluation.
    """

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 32
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 0.05
    schedule: Schedule = Constant()
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegative = 0.0
    clip_norm: Positive | None = None
    proximal: NonNegative = 0.0
    loss: Literal["cross_entropy", "bce_with_logits"] = "cross_entropy"
    batch_norm: Literal["running", "recalibrated"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.optimizer == "adam" and self.momentum:
            raise ValueError("adam has no momentum; leave it out, or use sgd")
        return self


@dataclass(frozen=True, slots=True)
class Every:
    """How often the model is evaluated: `5 rounds` or `60 s`.

    Attributes:
        rounds: after so many rounds; null where it is by time.
        seconds: after so many virtual seconds; null where it is by rounds.
    """

    rounds: int | None = None
    seconds: float | None = None

    _ROUNDS: ClassVar = re.compile(r"\s*0*([1-9][0-9]{0,8})\s*rounds?\s*")
    _TIME: ClassVar = yaml_source.Quantity("s", "60 s", zero=False)

    def __str__(self) -> str:
        if self.seconds is not None:
            return self._TIME.show(self.seconds)
        return f"{self.rounds} round" if self.rounds == 1 else f"{self.rounds} rounds"

    @classmethod
    def parse(cls, given: Any) -> Self:
        """From the text of a scenario.

        Raises:
            ValueError: neither rounds nor a time.
        """
        if isinstance(given, cls):
            return given
        match = cls._ROUNDS.fullmatch(given) if isinstance(given, str) else None
        if match is not None:
            return cls(rounds=int(match[1]))
        if not isinstance(given, str) or "round" in given:
            raise ValueError(f"must be like 1 round or 60 s, got {show_value(given)}")
        return cls(seconds=cls._TIME.parse(given))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "examples": ["1 round", "60 s"]}


class Evaluate(Section):
    """When the model is evaluated on held-out data.

    Attributes:
        every: by rounds or virtual time.
        train: whether loss and accuracy on the training data are added.
        submodels: whether those of the model's sub-models are added, one for each capacity on the ladder of
            the method that does not hold the whole model: `accuracy_at_0.5`.
        recalibrate: training samples from which batch norms without running statistics take theirs.
    """

    every: Every = Every(rounds=1)
    train: bool = False
    submodels: bool = False
    recalibrate: Count = 2000


def _without_nulls(target: Any) -> Any:
    """A variant takes a target of the scenario away by null."""
    if not isinstance(target, dict):
        return target
    return {key: value for key, value in target.items() if value is not None}


def _reachable(target: dict[str, float]) -> dict[str, float]:
    for name in ("accuracy", "top5_accuracy"):
        accuracy = target.get(name, 1.0)
        if not 0 < accuracy <= 1:
            hint = f"; for {accuracy:g} % write {accuracy / 100:g}" if 1 < accuracy <= 100 else ""
            raise ValueError(f"{name} is a share between 0 and 1, got {accuracy:g}{hint}")
    for name, value in target.items():
        if falls(name) and value <= 0:
            raise ValueError(f"{name} must be more than 0, got {value:g}")
    return target


Target = Annotated[
    dict[Literal["accuracy", "loss", "top5_accuracy", "gap", "distance"], float],
    Field(min_length=1, max_length=1),
    AfterValidator(_reachable),
    BeforeValidator(_without_nulls),
]


class Stop(Section):
    """When a run ends: whichever comes first."""

    rounds: Count | None = None
    time: PositiveSeconds | None = None
    dispatches: Count | None = None
    target: Target | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("needs at least one of rounds, time, dispatches, target")
        return self


class CostOptions(Section):
    """What is charged for a visit (algorithms 1.3 and 1.5).

    Attributes:
        name: `analytic` works seconds out from operations and the profile's rate; `measured` takes those of
            training steps that were timed on such a device, and where this very step was not, what the others
            say of it.
        otherwise: what `measured` does with devices whose profile has no timed steps; `analytic` if absent.
        sparse_speedup: how much of the operations that an element mask leaves out is saved, 0 to 1. Dense
            kernels save nothing.
        charge_mask_bytes: whether the description of a sub-model is part of its download.
        accounting: `exact` charges the values that are sent; `density` the whole model times the share that
            a device was given, as FedGMR's simulator does.
    """

    name: Literal["analytic", "measured"] = "analytic"
    otherwise: Literal["analytic", "error"] | None = None
    sparse_speedup: Annotated[float, Field(ge=0, le=1)] = 0.0
    charge_mask_bytes: bool = True
    accounting: Literal["exact", "density"] = "exact"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"enum": whole["properties"]["name"]["enum"]}, whole]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.otherwise is not None and self.name != "measured":
            raise ValueError(
                "otherwise goes with name: measured; analytic seconds are known for every device"
            )
        if self.sparse_speedup and self.name == "measured":
            raise ValueError("sparse_speedup is a discount of analytic seconds; timed steps are dense")
        return self


_DEVICE = r"^(auto|cpu|cuda|cuda:[0-9]{1,3})$"


def _known_device(name: str) -> str:
    if not re.fullmatch(_DEVICE, name):
        raise ValueError(f"must be auto, cpu, cuda or cuda:N, got {show_value(name)}")
    return name


class ExecutionOptions(Section):
    """How training runs on this host. `auto` is decided by a rule from model and device, never by timing.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        threads: threads of each process; one is bit-equal over repeats, processes and machines of one kind.
        mode: clients one after another, or stacked in cohorts.
        cohort: clients per cohort where stacked.
        memory_format: layout of image batches.
        precision: of parameters and arithmetic; bfloat16 runs the forward pass under autocast.
    """

    device: Annotated[str, AfterValidator(_known_device), Field(json_schema_extra={"pattern": _DEVICE})] = (
        "auto"
    )
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    mode: Literal["auto", "sequential", "stacked"] = "auto"
    cohort: Annotated[int, Field(ge=1, le=10_000)] = 50
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
