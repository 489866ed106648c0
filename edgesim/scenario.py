"""What a scenario file may say, its variants, and what the command line may override in it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError, core_schema

from edgesim import shipped, yaml_source
from edgesim.aggregation._aggregator import Aggregator
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.datasets._dataset import Dataset
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.models._model import Model
from edgesim.registry import Named, component, in_room
from edgesim.selection._selector import SelectionRule
from edgesim.selection.uniform import Uniform
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.full import Full
from edgesim.yaml_source import Count, Fraction, NonNegative, Positive, PositiveSeconds, Probability, Source

MAXIMUM_DEVICES = 10_000_000

Seed = Annotated[int, Field(ge=0, lt=2**63)]
SafeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


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
    """The learning rate times `decay` for every version of the model (FedAvg's CIFAR-10 setting uses 0.99)."""

    decay: Fraction

    def factor(self, version: int) -> float:
        """What the learning rate is multiplied by in a visit that starts from this version."""
        return self.decay**version


_SCHEDULES: dict[str, type[Any]] = {"constant": Constant, "exponential": Exponential}
Schedule = Annotated[Constant | Exponential, Named(lambda: _SCHEDULES, "schedule")]


class Training(Section):
    """Local training.

    Attributes:
        epochs: passes over a device's samples in one visit; 1 unless `steps` is given.
        steps: optimiser steps of one visit, instead of epochs.
        proximal: weight mu of the FedProx term.
        clip_norm: largest norm of a step's gradient.
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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.optimizer == "adam" and self.momentum:
            raise ValueError("adam has no momentum; leave it out, or use sgd")
        return self


class Every:
    """How often the model is evaluated: `5 rounds` or `60 s`."""

    _ROUNDS = re.compile(r"\s*(\d{1,9})\s+rounds?\s*")
    _TIME = yaml_source.Quantity("s", "60 s", zero=False)

    def __init__(self, rounds: int | None = None, seconds: float | None = None) -> None:
        self.rounds = rounds
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Every) and (self.rounds, self.seconds) == (other.rounds, other.seconds)

    def __hash__(self) -> int:
        return hash((self.rounds, self.seconds))

    def __str__(self) -> str:
        return f"{self.rounds} rounds" if self.seconds is None else self._TIME.show(self.seconds)

    @classmethod
    def parse(cls, given: Any) -> Every:
        """From the text of a scenario."""
        match = cls._ROUNDS.fullmatch(given) if isinstance(given, str) else None
        if match and int(match[1]) > 0:
            return cls(rounds=int(match[1]))
        if not isinstance(given, str) or match:
            raise PydanticCustomError(
                "quantity", "{text}", {"text": f"must be like 1 round or 60 s, got {given!r}"}
            )
        return cls(seconds=cls._TIME.parse(given))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ARG003
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:  # noqa: ARG003
        return {"type": "string", "examples": ["1 round", "60 s"]}


class Evaluate(Section):
    """When the model is evaluated on held-out data; `train` adds loss and accuracy on the training data."""

    every: Every = Every(rounds=1)
    train: bool = False


class Stop(Section):
    """When a run ends: whichever comes first."""

    rounds: Count | None = None
    time: PositiveSeconds | None = None
    dispatches: Count | None = None
    target: Annotated[dict[Literal["accuracy", "loss"], float], Field(min_length=1, max_length=1)] | None = (
        None
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("needs at least one of rounds, time, dispatches, target")
        accuracy = (self.target or {}).get("accuracy", 0.5)
        if not 0 < accuracy <= 1:
            raise ValueError(f"target.accuracy is a share between 0 and 1, got {accuracy}")
        return self


class ExecutionOptions(Section):
    """How training runs on this host. `auto` is decided by a rule from the model and the device, never by timing.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        threads: threads of each process; one is bit-equal over repeats, processes and machines of one kind.
        mode: clients one after another, or stacked in cohorts.
        cohort: clients per cohort where stacked.
        memory_format: layout of image batches.
        precision: of parameters and arithmetic; bfloat16 runs the forward pass under autocast.
    """

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda|cuda:\d+)$")] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    mode: Literal["auto", "sequential", "stacked"] = "auto"
    cohort: Annotated[int, Field(ge=1, le=10_000)] = 50
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"


class Scenario(Section):
    """One experiment as written."""

    name: SafeName
    seed: Seed | Seeds = 1
    data_root: str | None = None
    model: Annotated[Model, in_room("models", "model")]
    dataset: Annotated[Dataset, in_room("datasets", "dataset")]
    fleet: Annotated[list[FleetGroup], Field(min_length=1)]
    submodel: Annotated[SubmodelStrategy, in_room("submodels", "submodel")] = Full()
    selection: Annotated[SelectionRule, in_room("selection", "selection")] = Uniform()
    coordination: Annotated[CoordinationPolicy, in_room("coordination", "coordination")]
    aggregation: Annotated[Aggregator, in_room("aggregation", "aggregation")] | None = None
    training: Training = Training()
    evaluate: Evaluate = Evaluate()
    stop: Stop
    execution: ExecutionOptions = ExecutionOptions()

    @property
    def seeds(self) -> Seeds:
        """The seeds of both halves."""
        return self.seed if isinstance(self.seed, Seeds) else Seeds(learning=self.seed, timing=self.seed)

    def to_yaml(self) -> str:
        """The scenario as YAML; reading it again gives an equal one."""
        data = json.loads(self.model_dump_json(exclude_none=True))
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


class ScenarioFile(Scenario):
    """A scenario with its variants; what `edgesim schema` describes."""

    variants: dict[SafeName, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A scenario file as read, before a variant is chosen.

    Attributes:
        source: the parsed file.
        path: where it lies.
    """

    source: Source
    path: Path

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of its variants, in the order of the file."""
        given = self.source.data.get("variants") if isinstance(self.source.data, dict) else None
        return tuple(given) if isinstance(given, dict) else ()


@dataclass(frozen=True)
class Experiment:
    """One resolved scenario with all that is needed to run it and to explain its errors.

    Attributes:
        scenario: validated.
        variant: name of the variant; `main` where the file has none.
        source: what it was validated from, for places.
        path: the scenario file.
        catalogue: the device profiles that it can name.
    """

    scenario: Scenario
    variant: str
    source: Source
    path: Path
    catalogue: Catalogue

    def placed(self, error: InputError) -> InputError:
        """The same error with a place for every problem that names a key of the scenario alone."""
        return InputError(
            *(
                problem if problem.place else replace(problem, place=self.source.place(_split(problem.path)))
                for problem in error.problems
            )
        )


def open_document(name: str) -> Document:
    """Read a scenario file, by path or by the name of a shipped one.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if path.is_dir():
            raise InputError(Problem("is a folder; give a scenario file", place=name))
        return Document(yaml_source.read(path), path.resolve())
    known = shipped_names()
    if name not in known:
        raise InputError(
            f'no scenario "{name}"{did_you_mean(name, known)} (shipped: {", ".join(known)}; or give a .yaml file)'
        )
    path = shipped.folder("scenarios") / f"{name}.yaml"
    return Document(yaml_source.read(path, f"{name}.yaml"), path)


def shipped_names() -> tuple[str, ...]:
    """Names of the scenarios that come with edgesim, folders included (`papers/...`)."""
    root = shipped.folder("scenarios")
    return tuple(sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml")))


def resolve(
    document: Document, variant: str | None = None, overrides: Sequence[str] = (), seed: int | None = None
) -> Experiment:
    """Choose a variant, apply overrides, validate.

    Args:
        document: the file.
        variant: name of a variant; null for the file without any.
        overrides: `key.path=value`, as of `--set`; applied after the variant.
        seed: in place of the scenario's.

    Raises:
        InputError: with all problems.
    """
    source = _without_variants(document)
    if variant is not None:
        source = _overlay(source, _variant(document, variant), ("variants", variant))
    for text in overrides:
        source = _set(source, text)
    if seed is not None:
        source = _set(source, f"seed={seed}")
    _import_beside(document.path)
    catalogue = Catalogue(document.path)
    scenario = yaml_source.validate(source, Scenario, {"catalogue": catalogue})
    experiment = Experiment(scenario, variant or "main", source, document.path, catalogue)
    problems = list(_across(scenario))
    if problems:
        raise experiment.placed(InputError(*problems))
    return experiment


def resolve_all(document: Document, overrides: Sequence[str] = ()) -> list[Experiment]:
    """Every variant of a scenario, or the scenario itself where it has none.

    Raises:
        InputError: with the problems of all of them, each once.
    """
    problems: dict[Problem, None] = {}
    found = []
    for variant in document.variants or (None,):
        try:
            found.append(resolve(document, variant, overrides))
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise InputError(*problems)
    return found


def schema() -> dict[str, Any]:
    """JSON Schema of a scenario file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | TypeAdapter(
        ScenarioFile
    ).json_schema()


def _across(scenario: Scenario) -> list[Problem]:
    """Problems that no single key shows."""
    devices = sum(group.count for group in scenario.fleet)
    problems = []
    if devices > MAXIMUM_DEVICES:
        problems.append(Problem(f"has {devices} devices; at most {MAXIMUM_DEVICES} are simulated", "fleet"))
    wanted = getattr(scenario.coordination, "clients_per_round", 1)
    if wanted > devices:
        problems.append(
            Problem(
                f"asks for {wanted} devices, but the fleet has {devices}", "coordination.clients_per_round"
            )
        )
    return problems


def _import_beside(path: Path) -> None:
    """Let `module:Class` name a module that lies beside the scenario."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)


# ------------------------------------------------------------------------------------ variants and overrides


def _without_variants(document: Document) -> Source:
    source = document.source
    if not isinstance(source.data, dict):
        return source
    variants = source.data.get("variants")
    if variants is not None and not (isinstance(variants, dict) and variants):
        place = source.place(("variants",))
        raise InputError(
            Problem("must map names to what they change, as in fedpmt: {submodel: fedpmt}", "variants", place)
        )
    data = {key: value for key, value in source.data.items() if key != "variants"}
    return replace(source, data=data)


def _variant(document: Document, name: str) -> Source:
    known = document.variants
    if name not in known:
        listed = f"known: {', '.join(known)}" if known else "the scenario has none"
        raise InputError(
            Problem(f'no variant "{name}"{did_you_mean(name, known)} ({listed})', place=document.source.name)
        )
    data = document.source.data["variants"][name]
    place = document.source.place(("variants", name))
    if not isinstance(data, dict):
        raise InputError(Problem("must be a mapping of what it changes", f"variants.{name}", place))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            Problem(
                "a variant's name may hold letters, digits, dot, dash and underscore",
                f"variants.{name}",
                place,
            )
        )
    return replace(document.source, data=data)


def _overlay(base: Source, over: Source, root: tuple[str | int, ...]) -> Source:
    """Merge a variant's changes into the scenario, with their places."""
    places = dict(base.places)
    data = _merge(base.data, over.data, (), root, places, over.places)
    return replace(base, data=data, places=places)


def _merge(
    base: Any,
    over: Any,
    path: tuple[str | int, ...],
    root: tuple[str | int, ...],
    places: dict[tuple[str | int, ...], str],
    over_places: Mapping[tuple[str | int, ...], str],
) -> Any:
    """Mappings merge key by key; another component, a list or a plain value replaces what was there."""
    if isinstance(base, str) and isinstance(over, dict) and path and "name" not in over:
        base = {"name": base}
    if path and isinstance(over, str) and isinstance(base, dict) and base.get("name") == over:
        return base
    other = (
        path
        and isinstance(over, dict)
        and isinstance(base, dict)
        and over.get("name", base.get("name")) != base.get("name")
    )
    if not isinstance(base, dict) or not isinstance(over, dict) or other:
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
        places |= {
            path + known[len(root) :]: place
            for known, place in over_places.items()
            if known[: len(root)] == root
        }
        return over
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge(base.get(key), value, (*path, key), (*root, key), places, over_places)
    return merged


def _set(source: Source, text: str) -> Source:
    """Apply one `key.path=value`."""
    path_text, equals, value_text = text.partition("=")
    path = _split(path_text.strip())
    place = f"--set {text}"
    if not equals or not path:
        raise InputError(f"--set {text}: must be key.path=value, as in --set training.learning_rate=0.1")
    value = yaml_source.parse(value_text, place)
    if not isinstance(source.data, dict):
        return source
    nested = value.data
    prefix = {path[len(path) - depth :] + known: place for depth in (len(path),) for known in value.places}
    data = _assign(source.data, path, nested, place)
    places = {known: where for known, where in source.places.items() if known[: len(path)] != path}
    return replace(source, data=data, places=places | prefix)


def _assign(data: Any, path: tuple[str | int, ...], value: Any, place: str) -> Any:
    if not path:
        return _merge(data, value, ("value",), (), {}, {})
    key, *rest = path
    if isinstance(data, list):
        if not isinstance(key, int) or not 0 <= key < len(data):
            raise InputError(
                Problem(f"there is no entry [{key}]; the list has {len(data)}, counted from 0", place=place)
            )
        return [*data[:key], _assign(data[key], tuple(rest), value, place), *data[key + 1 :]]
    if data is None or isinstance(data, str):
        data = {} if data is None else {"name": data}
    if not isinstance(data, dict):
        raise InputError(Problem(f'"{key}" cannot be set inside {data!r}', place=place))
    return data | {str(key): _assign(data.get(str(key)), tuple(rest), value, place)}


def _split(path: str) -> tuple[str | int, ...]:
    """`fleet[0].count` or `fleet.0.count` as parts."""
    parts = re.findall(r"[^.\[\]]+", path)
    return tuple(int(part) if part.isdigit() else part for part in parts)
