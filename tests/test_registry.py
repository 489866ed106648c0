"""Components: found by being there, named by their file, or `module:Class` beside a scenario."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from edgesim import registry, yaml_source
from edgesim.aggregation._aggregator import Aggregator
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.coordination.synchronous import Synchronous
from edgesim.datasets._dataset import Dataset
from edgesim.datasets._partition import Dirichlet, Iid, Partition
from edgesim.datasets.digits import Digits
from edgesim.errors import InputError
from edgesim.growth._growth import GrowthRule
from edgesim.models._model import Model
from edgesim.models.mlp import Mlp
from edgesim.registry import component, in_room
from edgesim.selection._selector import SelectionRule
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.yaml_source import Count

BASES: dict[str, Any] = {
    "models": Model,
    "datasets": Dataset,
    "submodels": SubmodelStrategy,
    "growth": GrowthRule,
    "selection": SelectionRule,
    "coordination": CoordinationPolicy,
    "aggregation": Aggregator,
}
COMPONENTS = [(room, name) for room in BASES for name in registry.names(room)]
PACKAGE = Path(registry.__file__).parent


def adapter(room: str) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[BASES[room], in_room(room, room.removesuffix("s"))])


def refusal(room: str, given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        adapter(room).validate_json(json.dumps(given))
    (problem,) = caught.value.errors()
    return problem["msg"].removeprefix("Value error, ")


# ------------------------------------------------------------------------------------------------ built in


@pytest.mark.parametrize("room", BASES)
def test_every_file_of_a_room_without_underscore_is_a_component(room: str) -> None:
    files = {path.stem for path in (PACKAGE / room).glob("*.py") if not path.name.startswith("_")}
    assert set(registry.names(room)) == files
    assert list(registry.names(room)) == sorted(files)


@pytest.mark.parametrize(("room", "name"), COMPONENTS)
def test_a_component_is_one_class_of_its_rooms_base(room: str, name: str) -> None:
    cls = registry.builtin(room, name)
    assert issubclass(cls, BASES[room])
    assert cls.__module__ == f"edgesim.{room}.{name}"
    assert all(field.kw_only for field in fields(cls))
    assert "name" not in {field.name for field in fields(cls)}


def test_a_component_is_frozen_and_takes_keywords_only() -> None:
    rule = Synchronous(clients_per_round=3)
    with pytest.raises(FrozenInstanceError):
        rule.clients_per_round = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        Synchronous(3)  # type: ignore[misc]


def test_a_file_that_defines_no_component_is_an_error_of_the_room() -> None:
    assert registry.builtin("models", "mlp") is Mlp
    with pytest.raises(LookupError, match=r"edgesim/models/_model\.py defines 0 component classes, not one"):
        registry.builtin("models", "_model")
    with pytest.raises(LookupError, match=r"edgesim/datasets/_by_class\.py defines 3 component classes"):
        registry.builtin("datasets", "_by_class")


def test_a_bare_name_means_its_mapping_without_parameters() -> None:
    rooms = adapter("models")
    assert rooms.validate_json('"mlp"') == rooms.validate_json('{"name": "mlp"}') == Mlp()
    assert adapter("datasets").validate_json('"digits"') == Digits(partition=Iid())


def test_lists_become_tuples() -> None:
    made = adapter("models").validate_json('{"name": "mlp", "hidden": [3, 4]}')
    assert made == Mlp(hidden=(3, 4))


def test_an_instance_is_taken_as_it_is() -> None:
    assert adapter("models").validate_python(Mlp(hidden=(5,))) == Mlp(hidden=(5,))


@pytest.mark.parametrize(
    ("room", "given", "message"),
    [
        (
            "models",
            "mpl",
            'no model "mpl"; did you mean "mlp"? (known: ',
        ),
        ("models", {"name": "MLP"}, 'no model "MLP"; did you mean "mlp"?'),
        ("models", "_structure", 'no model "_structure" (known: '),
        ("models", "", 'no model "" (known: '),
        ("models", {}, "needs a name, one of: "),
        ("models", {"name": None}, "needs a name, one of: "),
        ("models", ["mlp"], 'must be a name or a mapping with a name, got ["mlp"]'),
        ("models", 3, "must be a name or a mapping with a name, got 3"),
        ("models", None, "must be a name or a mapping with a name, got null"),
        ("coordination", "sync", 'no coordination "sync"'),
    ],
)
def test_what_names_no_component_is_refused(room: str, given: object, message: str) -> None:
    assert refusal(room, given).startswith(message)


def test_what_is_known_ends_with_what_lies_outside() -> None:
    known = ", ".join(registry.names("aggregation"))
    assert refusal("aggregation", "x") == f'no aggregation "x" (known: {known}, or module:Class)'


# ---------------------------------------------------------------------------------------- a user's own ones

OWN = """\
from edgesim.registry import component
from edgesim.submodels._submodel import Fit, SubmodelStrategy
from edgesim.yaml_source import Count, Seconds

@component
class Mine(SubmodelStrategy):
    depth: Count
    widths: tuple[Count, ...] = ()
    wait: Seconds = 0.0
    fit: Fit | None = None

@component
class Foreign:
    depth: Count = 1

class Plain(SubmodelStrategy):
    pass
"""


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module beside a scenario; what was imported and searched is forgotten afterwards."""
    before, searched = set(sys.modules), list(sys.path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        return path.parent

    yield write
    sys.path[:] = searched
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def built(given: object, folder: Path) -> Any:
    return adapter("submodels").validate_json(json.dumps(given), context={"folder": folder})


def refusals(given: object, folder: Path) -> list[str]:
    source = yaml_source.parse(json.dumps({"submodel": given}), "x.yaml")
    kind = TypeAdapter(dict[str, Annotated[SubmodelStrategy, in_room("submodels", "submodel")]])
    with pytest.raises(InputError) as caught:
        yaml_source.validate(source, kind, {"folder": folder})
    return str(caught.value).splitlines()


def test_a_component_beside_the_scenario_is_named_by_module_and_class(
    beside: Callable[[str, str], Path],
) -> None:
    folder = beside("own_methods", OWN)
    made = built({"name": "own_methods:Mine", "depth": 2, "widths": [3, 4], "wait": "2 min"}, folder)
    assert isinstance(made, SubmodelStrategy)
    assert (type(made).__name__, made.depth, made.widths, made.wait) == ("Mine", 2, (3, 4), 120.0)
    assert registry.name_of(made) == "own_methods:Mine"


def test_a_component_within_a_package_beside_the_scenario_is_found(
    beside: Callable[[str, str], Path], tmp_path: Path
) -> None:
    beside("own_package/__init__", "")
    beside("own_package/deep", OWN)
    assert built({"name": "own_package.deep:Mine", "depth": 2}, tmp_path).depth == 2


def test_a_users_component_is_written_as_it_was_read(beside: Callable[[str, str], Path]) -> None:
    folder = beside("own_dumped", OWN)
    given = {"name": "own_dumped:Mine", "depth": 2, "widths": [3], "wait": "2 min", "fit": {"target": "3 s"}}
    made = built(given, folder)
    rooms = adapter("submodels")
    again = rooms.validate_json(rooms.dump_json(made), context={"folder": folder})
    assert again == made
    assert rooms.dump_python(made, mode="json") == {
        "name": "own_dumped:Mine",
        "depth": 2,
        "widths": [3],
        "wait": "120.0 s",
        "fit": {"target": "3.0 s"},
    }
    assert rooms.validate_python(made) is made


def test_every_problem_of_a_users_component_is_reported_with_its_path(
    beside: Callable[[str, str], Path],
) -> None:
    folder = beside("own_wrong", OWN)
    assert refusals({"name": "own_wrong:Mine", "depth": 0, "widths": [1, "x"], "wait": 3}, folder) == [
        "x.yaml:1: submodel.depth: must be at least 1, got 0",
        'x.yaml:1: submodel.widths[1]: must be a whole number, got "x"',
        "x.yaml:1: submodel.wait: needs a unit, as in 30 s; got the bare number 3",
    ]
    assert refusals("own_wrong:Mine", folder) == ["x.yaml:1: submodel.depth: is missing, and it is required"]
    assert refusals({"name": "own_wrong:Mine", "depth": 1, "widhts": []}, folder) == [
        'x.yaml:1: submodel: "own_wrong:Mine" has no parameter "widhts"; did you mean "widths"? '
        "(parameters: depth, widths, wait, fit)"
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "own_gone:Mine",
            'cannot import module "own_gone" of "own_gone:Mine": No module named \'own_gone\'; '
            "own_gone.py must lie beside the scenario, or be installed",
        ),
        ("own_odd:Min", 'module "own_odd" has no "Min"; did you mean "Mine"?'),
        ("own_odd:", 'module "own_odd" has no ""'),
        ("own_odd:Mine.depth", 'module "own_odd" has no "Mine.depth"'),
        (
            "own_odd:Foreign",
            '"own_odd:Foreign" must be derived from edgesim.submodels._submodel.SubmodelStrate',
        ),
        ("own_odd:Plain", '"own_odd:Plain" is no component: decorate it with edgesim.registry.component'),
        ("own_odd:OWN", 'module "own_odd" has no "OWN"'),
        ("own_odd:component", '"own_odd:component" is no component: decorate it'),
        (":Mine", 'must be module:Class, got ":Mine"'),
        (".own_odd:Mine", 'must be module:Class, got ".own_odd:Mine"'),
        ("own odd:Mine", 'must be module:Class, got "own odd:Mine"'),
        ("../own_odd:Mine", 'must be module:Class, got "../own_odd:Mine"'),
        ("own_broken:Mine", 'cannot import module "own_broken" of "own_broken:Mine": invalid syntax'),
        ("own_needy:Mine", 'cannot import module "own_needy" of "own_needy:Mine": No module named \'gone'),
    ],
)
def test_a_name_that_leads_to_no_component_is_refused(
    beside: Callable[[str, str], Path], target: str, message: str
) -> None:
    beside("own_broken", "class = 3\n")
    beside("own_needy", "import gone_entirely\n")
    folder = beside("own_odd", OWN)
    (problem,) = refusals(target, folder)
    assert problem.startswith(f"x.yaml:1: submodel: {message}")


def test_an_error_within_a_users_module_keeps_its_traceback(beside: Callable[[str, str], Path]) -> None:
    folder = beside("own_error", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        built("own_error:Mine", folder)


def test_equally_named_modules_beside_two_scenarios_are_not_mixed_up(
    beside: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """A process knows one module of a name; what lies beside the second scenario is refused, not replaced."""
    beside("first/own_twin", OWN)
    beside("second/own_twin", OWN)
    assert built({"name": "own_twin:Mine", "depth": 1}, tmp_path / "first").depth == 1
    (problem,) = refusals({"name": "own_twin:Mine", "depth": 1}, tmp_path / "second")
    assert problem == (
        'x.yaml:1: submodel: "own_twin" beside the scenario is hidden by another one '
        f"({tmp_path / 'first' / 'own_twin.py'}): rename it"
    )


def test_a_module_that_an_installed_one_hides_is_refused(beside: Callable[[str, str], Path]) -> None:
    folder = beside("colorsys", OWN)
    (problem,) = refusals("colorsys:Mine", folder)
    assert '"colorsys" beside the scenario is hidden by another one (' in problem


def test_a_list_of_choices_that_is_no_room_takes_no_users_component() -> None:
    with pytest.raises(ValidationError, match=r'no partition "os:path" \(known: iid, dirichlet, '):
        TypeAdapter(Partition).validate_json('"os:path"')


# -------------------------------------------------------------------------------------- writing and schema


def example(room: str, name: str) -> Any:
    """The component with every required parameter."""
    needed = {"clients_per_round": 3, "deadline": "30 s", "path": "my.csv"}
    needed |= {"concurrency": 3, "buffer": 3, "candidates": 3, "at": ["30 s"], "per_round": 0.1}
    cls = registry.builtin(room, name)
    given = {key: value for key, value in needed.items() if key in {field.name for field in fields(cls)}}
    return adapter(room).validate_json(json.dumps({"name": name, **given}))


@pytest.mark.parametrize(("room", "name"), COMPONENTS)
def test_a_component_is_written_as_it_was_read(room: str, name: str) -> None:
    rooms, made = adapter(room), example(room, name)
    assert registry.name_of(made) == name
    written = rooms.dump_python(made, mode="json")
    assert written["name"] == name
    assert rooms.validate_json(json.dumps(written)) == made


@pytest.mark.parametrize(
    "made", [FedPMT(depth=2), Digits(partition=Dirichlet(alpha=0.3, clients=4), validation=0.1)]
)
def test_parameters_survive_writing(made: Any) -> None:
    room = "submodels" if isinstance(made, FedPMT) else "datasets"
    assert adapter(room).validate_json(adapter(room).dump_json(made)) == made


@pytest.mark.parametrize(("room", "name"), COMPONENTS)
def test_the_json_schema_knows_name_and_parameters_of_a_component_and_forbids_others(
    room: str, name: str
) -> None:
    schema = adapter(room).json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    (mapping,) = [
        option
        for option in schema["anyOf"]
        if option.get("properties", {}).get("name", {}).get("const") == name
    ]
    cls = registry.builtin(room, name)
    assert set(mapping["properties"]) == {"name", *(field.name for field in fields(cls))}
    assert mapping["additionalProperties"] is False
    assert "$ref" not in json.dumps(schema)
    written = adapter(room).dump_python(example(room, name), mode="json", exclude_none=True)
    assert valid(written)
    assert not valid(written | {"misspelt": 1})
    assert not valid(written | {"name": "nothing"})
    assert valid(name) == ({*mapping["required"]} == {"name"})


def test_the_json_schema_of_a_room_lets_a_users_component_pass() -> None:
    valid = jsonschema.Draft202012Validator(adapter("models").json_schema()).is_valid
    assert valid("mine:Net")
    assert valid({"name": "mine:Net", "width": 3})
    assert not valid("mine")
    assert not jsonschema.Draft202012Validator(TypeAdapter(Partition).json_schema()).is_valid("mine:Net")


def test_a_class_becomes_a_component_by_its_decorator() -> None:
    @component
    class Small:
        size: Count = 1

    read = TypeAdapter(Small).validate_json
    made: Small = read('{"size": 3}')
    assert made == Small(size=3)
    assert hash(made) == hash(Small(size=3))
    with pytest.raises(ValidationError):
        read('{"size": "3"}')
    with pytest.raises(ValidationError):
        read('{"siz": 3}')
