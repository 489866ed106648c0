"""What a scenario file may say as a whole, and how one becomes an experiment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationInfo
from pydantic_core import PydanticKnownError, PydanticOmit

from edgesim import composition, yaml_source
from edgesim.aggregation._aggregator import Aggregator
from edgesim.aggregation._staleness import Constant, Poly
from edgesim.composition import Choices
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.datasets._dataset import Dataset
from edgesim.devices.faults import Fault, misfits
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.network import ServerLinks
from edgesim.devices.profile import Catalogue
from edgesim.document import NAMING, SAFE_NAME, Document, assigned, overridden, path_in
from edgesim.errors import InputError, Problem, show_value
from edgesim.growth._growth import GrowthRule
from edgesim.models._model import Model
from edgesim.registry import builtin, in_room, name_of
from edgesim.sections import CostOptions, Evaluate, ExecutionOptions, Section, Seed, Seeds, Stop, Training
from edgesim.selection._selector import SelectionRule
from edgesim.selection.uniform import Uniform
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.full import Full
from edgesim.yaml_source import Source

MAXIMUM_DEVICES = 10_000_000


def _safe(name: str) -> str:
    if not re.fullmatch(SAFE_NAME, name):
        raise ValueError(f"{NAMING}, got {show_value(name)}")
    return name


SafeName = Annotated[str, AfterValidator(_safe), Field(json_schema_extra={"pattern": SAFE_NAME})]


def _seed_tag(given: Any) -> str:
    return "two" if isinstance(given, dict | Seeds) else "one"


def _chosen(info: ValidationInfo, key: str) -> Any:
    """What the scenario has for a key that stands above.

    Raises:
        PydanticOmit: it is wrong, which is said there.
    """
    if key not in info.data:
        raise PydanticOmit
    return info.data[key]


def _own_growth(given: Any, info: ValidationInfo) -> Any:
    return builtin("growth", _chosen(info, "submodel").growth)() if given is None else given


def _own_coordination(given: Any, info: ValidationInfo) -> Any:
    if given is not None:
        return given
    name = _chosen(info, "submodel").coordination
    if name is None:
        raise PydanticKnownError("missing")
    return builtin("coordination", name)()


def _own_aggregation(given: Any, info: ValidationInfo) -> Any:
    """As the policy does it, else as the sub-model."""
    if given is not None:
        return given
    submodel = _chosen(info, "submodel")
    name = _chosen(info, "coordination").aggregation or submodel.aggregation
    exponent = submodel.staleness_exponent
    staleness = Constant() if exponent is None else Poly(exponent=exponent)
    return builtin("aggregation", name)(weights=submodel.client_weights, staleness=staleness)


def _left_out() -> Any:
    """A default that the choices above make: see the validator of its field."""
    return Field(default_factory=lambda: None, validate_default=True)


class Scenario(Section):
    """One experiment as written, with what it leaves out as its choices have it."""

    name: SafeName
    seed: Annotated[Annotated[Seed, Tag("one")] | Annotated[Seeds, Tag("two")], Discriminator(_seed_tag)] = 1
    data_root: str | None = None
    model: Annotated[Model, in_room("models", "model")]
    dataset: Annotated[Dataset, in_room("datasets", "dataset")]
    fleet: Annotated[list[FleetGroup], Field(min_length=1)]
    server: ServerLinks = ServerLinks()
    submodel: Annotated[SubmodelStrategy, in_room("submodels", "submodel")] = Full()
    selection: Annotated[SelectionRule, in_room("selection", "selection")] = Uniform()
    growth: Annotated[GrowthRule, in_room("growth", "growth"), BeforeValidator(_own_growth)] = _left_out()
    coordination: Annotated[
        CoordinationPolicy, in_room("coordination", "coordination"), BeforeValidator(_own_coordination)
    ] = _left_out()
    aggregation: Annotated[
        Aggregator, in_room("aggregation", "aggregation"), BeforeValidator(_own_aggregation)
    ] = _left_out()
    training: Training = Training()
    cost: CostOptions = CostOptions()
    evaluate: Evaluate = Evaluate()
    stop: Stop
    execution: ExecutionOptions = ExecutionOptions()
    faults: tuple[Fault, ...] = ()

    @property
    def seeds(self) -> Seeds:
        """The seeds of both halves."""
        return self.seed if isinstance(self.seed, Seeds) else Seeds(learning=self.seed, timing=self.seed)

    @property
    def choices(self) -> Choices:
        """What is to work together."""
        return Choices(
            self.submodel,
            self.selection,
            self.coordination,
            self.aggregation,
            tuple((group.device_type, group.count) for group in self.fleet),
            self.growth,
        )

    def to_yaml(self) -> str:
        """The scenario as YAML; reading it again gives an equal one."""
        data = json.loads(self.model_dump_json(exclude_none=True))
        if self.model.gives_loss:
            del data["training"]["loss"]
        return yaml_source.dump(data)


class ScenarioFile(Scenario):
    """A scenario with its variants; what `edgesim schema` describes."""

    variants: dict[SafeName, dict[str, Any]] = Field(default_factory=dict)


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
                problem
                if problem.place
                else replace(problem, place=self.source.place(path_in(self.source.data, problem.path)))
                for problem in error.problems
            )
        )


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
    source = document.base() if variant is None else document.variant(variant)
    for text in overrides:
        source = overridden(source, text)
    if seed is not None and isinstance(source.data, dict):
        source = assigned(source, ("seed",), seed, f"--seed {seed}")
    catalogue = Catalogue(document.path)
    context = {"catalogue": catalogue, "folder": document.path.parent}
    scenario = yaml_source.validate(source, Scenario, context)
    experiment = Experiment(scenario, variant or "main", source, document.path, catalogue)
    problems = [*_across(scenario), *misfits(scenario.faults, scenario.fleet, catalogue)]
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
    choices = scenario.choices
    problems = composition.problems(choices)
    growth = scenario.growth
    if growth.needs_accuracy and growth.split == "validation" and not scenario.dataset.validation:
        message = (
            f'is 0, and growth "{name_of(growth)}" looks at the accuracy on a validation split; hold samples '
            "out for it, as in validation: 0.1 (in every variant, so that all train on the same samples), or "
            "choose another growth"
        )
        problems.append(Problem(message, "dataset.validation"))
    problems.extend(_functions(scenario))
    if choices.devices > MAXIMUM_DEVICES:
        message = f"has {choices.devices} devices; at most {MAXIMUM_DEVICES} are simulated"
        problems.insert(0, Problem(message, "fleet"))
    return problems


def _functions(scenario: Scenario) -> Iterator[Problem]:
    """Samples that are functions need a model that is their argument, and have no other loss."""
    if scenario.model.gives_loss != scenario.dataset.functions:
        message = (
            "does not go with the data set: samples that are functions, as those of quadratic, are for models"
            " that give their value, as vector does, and other samples for other models"
        )
        yield Problem(message, "model")
    elif scenario.model.gives_loss and "loss" in scenario.training.model_fields_set:
        yield Problem(f'"{name_of(scenario.model)}" gives the loss itself; leave it out', "training.loss")
    if scenario.submodel.needs_functions and not scenario.dataset.functions:
        message = (
            f'"{name_of(scenario.submodel)}" as it is set reads samples that are functions, as those of '
            "dataset: quadratic; take those, or set it otherwise (sketch: permutation)"
        )
        yield Problem(message, "submodel")
