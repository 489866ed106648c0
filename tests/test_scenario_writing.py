"""A scenario written and read again, and its JSON Schema."""

import contextlib
import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import yaml_source
from edgesim.document import Document, open_document, shipped_names
from edgesim.errors import InputError
from edgesim.scenario import Experiment, Scenario, resolve, schema
from tests.scenarios import (
    BASE,
    EVERYTHING,
    changed,
    document,
    refusal,
    scenario,
)


def reread(found: Experiment) -> Scenario:
    return scenario(found.scenario.to_yaml())


SHIPPED = [(name, variant) for name in shipped_names() for variant in open_document(name).variants or (None,)]


@pytest.mark.parametrize(("name", "variant"), SHIPPED)
def test_a_shipped_scenario_is_valid_and_survives_writing(name: str, variant: str | None) -> None:
    found = resolve(open_document(name), variant)
    beside = Document(yaml_source.parse(found.scenario.to_yaml(), "x.yaml"), found.path)
    assert resolve(beside).scenario == found.scenario


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_asks_its_question_first(name: str) -> None:
    first = open_document(name).path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")


@pytest.mark.parametrize(
    "sets",
    [
        [],
        ["seed=9"],
        ["evaluate.every=1 round"],
        ["evaluate.every=7 rounds"],
        ["aggregation=null"],
        ["fleet[1].straggler.slowdown={dist: gamma, shape: 2, scale: 0.5}"],
        ["fleet[1].straggler.slowdown=3"],
        ["fleet[2].network.uplink={dist: lognormal, median: 3 Mbit/s, sigma: 0.1}"],
        ["stop.target={accuracy: null, loss: 0.1}"],
        ["stop.time=0.1 s"],
        ["name='1e3'"],
    ],
)
def test_what_is_written_is_read_as_the_same_scenario(sets: list[str]) -> None:
    for variant in (None, *document(EVERYTHING).variants):
        found = resolve(document(EVERYTHING), variant, sets)
        assert reread(found) == found.scenario


@given(
    st.integers(0, 2**63 - 1),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    st.floats(min_value=0, max_value=1, exclude_min=True),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_any_value_survives_writing(seed: int, time_s: float, accuracy: float, root: str) -> None:
    text = json.dumps({"time": f"{time_s!r} s", "target": {"accuracy": accuracy}})
    with contextlib.suppress(InputError):  # a text that YAML cannot hold
        found = resolve(document(BASE), None, [f"stop={text}", f"data_root={json.dumps(root)}"], seed)
        assert (found.scenario.stop.time, found.scenario.data_root) == (time_s, root)
        assert reread(found) == found.scenario


def valid_by_schema(text: str) -> bool:
    return jsonschema.Draft202012Validator(schema()).is_valid(yaml_source.parse(text, "x.yaml").data)


def test_the_json_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", [BASE, EVERYTHING])
def test_the_json_schema_accepts_what_edgesim_accepts(text: str) -> None:
    assert valid_by_schema(text)


@pytest.mark.parametrize("name", shipped_names())
def test_the_json_schema_accepts_every_shipped_scenario(name: str) -> None:
    assert valid_by_schema(open_document(name).path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("stop:", "stopp:"),
        ("model: fedavg_cnn", "model: fedavg_cn"),
        ("dataset: digits", "dataset: {name: digits, partion: iid}"),
        ("dataset: digits", "dataset: {name: digits, partition: {name: dirichlet, alhpa: 1}}"),
        ("count: 3", "count: 0"),
        ("count: 3", "count: 3, netwrk: lte"),
        ("clients_per_round", "client_per_round"),
        ("{rounds: 3}", "{time: 3}"),
        ("{rounds: 3}", "{time: three seconds}"),
    ],
)
def test_the_json_schema_refuses_what_edgesim_refuses(before: str, after: str) -> None:
    assert not valid_by_schema(changed(before, after))
    assert refusal(changed(before, after))
