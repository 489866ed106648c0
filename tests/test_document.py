"""A scenario file before it is validated: finding it, its variants, and overrides from outside."""

from pathlib import Path
from typing import Any

import pytest

from edgesim import shipped
from edgesim.coordination._reference import FastestShare
from edgesim.coordination.deadline import Deadline
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.datasets._partition import Dirichlet
from edgesim.devices.network import Network
from edgesim.document import open_document
from edgesim.errors import InputError, cut_off
from edgesim.models.mlp import Mlp
from edgesim.scenario import Scenario, resolve, resolve_all
from edgesim.sections import Every, Seeds
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from tests.scenarios import (
    BASE,
    EVERYTHING,
    changed,
    document,
    refusal,
    refusal_of_all,
    scenario,
    with_variant,
)


def test_a_scenario_is_opened_by_its_shipped_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = open_document("quickstart")
    assert found.path == shipped.folder("scenarios") / "quickstart.yaml"
    assert found.source.place(("name",)) == "quickstart.yaml:2"


def test_a_file_is_opened_by_its_path(tmp_path: Path) -> None:
    for name in ("mine.yaml", "mine.yml", "mine"):
        (tmp_path / name).write_text(BASE)
        found = open_document(str(tmp_path / name))
        assert found.path == (tmp_path / name).resolve()
        assert resolve(found).scenario == scenario(BASE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quikstart", 'no scenario "quikstart"; did you mean "quickstart"? (shipped: '),
        ("", 'no scenario "" (shipped: '),
        ("gone.yaml", "gone.yaml: there is no such file; edgesim init gone.yaml writes one to begin with"),
        ("foldr.yaml", 'foldr.yaml: there is no such file; did you mean "folder.yaml"?'),
        ("x" * 5000, 'no scenario "xxx'),
        (".", ".: is a folder without scenario.yaml; give a scenario file"),
        ("folder.yaml", "folder.yaml: cannot be read: Is a directory"),
    ],
)
def test_a_name_that_leads_to_no_scenario_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InputError) as caught:
        open_document(name)
    assert str(caught.value).startswith(message)


def varied(change: str, base: str = BASE) -> Scenario:
    return scenario(with_variant(change, base), "other")


def test_a_mapping_in_a_variant_is_merged_key_by_key() -> None:
    base = BASE + "training: {epochs: 2, learning_rate: 0.1}\n"
    found = varied("{training: {learning_rate: 0.2}, stop: {time: 5 s}}", base)
    assert (found.training.epochs, found.training.learning_rate) == (2, 0.2)
    assert (found.stop.rounds, found.stop.time) == (3, 5.0)


def test_parameters_of_the_same_component_are_merged() -> None:
    assert varied("{coordination: {clients_per_round: 1}}").coordination == Synchronous(clients_per_round=1)
    assert varied("{coordination: synchronous}").coordination == Synchronous(clients_per_round=2)
    assert varied("{coordination: {name: synchronous}}").coordination == Synchronous(clients_per_round=2)


def test_another_component_replaces_all_parameters() -> None:
    base = BASE + "submodel: {name: fedpmt, depth: 2}\n"
    assert varied("{submodel: full}", base).submodel == Full()
    assert varied("{submodel: {name: full}}", base).submodel == Full()
    deadline = varied("{coordination: {name: deadline, deadline: 3 s, clients_per_round: 1}}").coordination
    assert deadline == Deadline(clients_per_round=1, deadline=3.0)


def test_parameters_extend_a_bare_name() -> None:
    assert varied("{submodel: {depth: 2}}", BASE + "submodel: fedpmt\n").submodel == FedPMT(depth=2)
    assert varied("{dataset: {partition: {name: dirichlet, alpha: 1}}}").dataset.partition == Dirichlet(
        alpha=1.0
    )


def test_a_mapping_takes_the_place_of_a_name_without_parameters() -> None:
    base = BASE.replace("count: 3", "count: 3, network: lte")
    found = scenario(base, sets=["fleet[0].network={downlink: 20 Mbit/s, uplink: 5 Mbit/s}"]).fleet[0].network
    assert isinstance(found, Network)
    base = BASE.replace(
        "name: synchronous\n  clients_per_round: 2", "name: semi_asynchronous\n  reference: fastest"
    )
    clock = varied("{coordination: {reference: {fraction: 0.5}}}", base).coordination
    assert clock == SemiAsynchronous(reference=FastestShare(fraction=0.5))


def test_lists_and_plain_values_are_replaced() -> None:
    found = varied("{fleet: [{profile: raspberry-pi-4, count: 2}], seed: {learning: 3, timing: 4}}")
    assert [(group.profile, group.count) for group in found.fleet] == [("raspberry-pi-4", 2)]
    assert found.seeds == Seeds(learning=3, timing=4)


def test_null_gives_the_default_back() -> None:
    assert varied(
        "{data_root: null, aggregation: null}", BASE + "data_root: x\naggregation: fill\n"
    ) == scenario(BASE)


def test_an_empty_variant_changes_nothing() -> None:
    assert varied("{}") == scenario(BASE)


def test_one_variant_does_not_touch_another() -> None:
    text = BASE + "variants: {a: {seed: 2}, b: {stop: {rounds: 9}}}"
    first, second = resolve_all(document(text))
    assert (first.variant, first.scenario.seed, first.scenario.stop.rounds) == ("a", 2, 3)
    assert (second.variant, second.scenario.seed, second.scenario.stop.rounds) == ("b", 1, 9)
    assert resolve(document(text)).scenario == scenario(BASE)


def test_a_scenario_without_variants_is_its_only_one() -> None:
    (only,) = resolve_all(document(BASE))
    assert (only.variant, only.scenario) == ("main", scenario(BASE))
    assert document(BASE).variants == ()
    assert document(EVERYTHING).variants == ("fedavg", "fedpmt", "synchronous")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "{submodel: {name: fedpmt, depht: 2}}",
            'x.yaml:11: submodel.depht: unknown key; did you mean "depth"? (allo',
        ),
        ("{submodl: full}", 'x.yaml:11: submodl: unknown key; did you mean "submodel"?'),
        (
            "\n    training:\n      epochs: 0",
            "x.yaml:13: training.epochs: must be at least 1, got 0",
        ),
        (
            "\n    fleet:\n      - {profile: pixel6, count: 5}",
            'x.yaml:13: fleet[0].profile: no device profile "pixel6"',
        ),
        (
            "\n    seed: 1\n    coordination: {clients_per_round: 4}",
            "x.yaml:13: coordination.clients_per_round: asks f",
        ),
        (
            "\n    seed: 1\n    coordination: deadline",
            "x.yaml:13: coordination.clients_per_round: is missing, and it i",
        ),
        ("3", "x.yaml:11: variants.other: must be a mapping of what it changes"),
        ("", "x.yaml:11: variants.other: must be a mapping of what it changes"),
        ("{variants: {a: {}}}", "x.yaml:11: variants: unknown key"),
    ],
)
def test_a_mistake_in_a_variant_is_reported_with_its_line_there(change: str, message: str) -> None:
    problems = refusal(with_variant(change), "other")
    assert problems[0].startswith(message)
    assert refusal_of_all(with_variant(change)) == problems


def test_a_key_that_a_variant_drops_is_missing_where_the_variant_says_so() -> None:
    """The base has the key in line 8, but that one belongs to another component."""
    text = with_variant("\n    coordination:\n      name: deadline\n      deadline: 3 s")
    assert refusal(text, "other") == [
        "x.yaml:12: coordination.clients_per_round: is missing, and it is required"
    ]


def test_mistakes_of_all_variants_are_reported_once_each() -> None:
    text = changed("count: 3", "count: 0") + "variants:\n  a: {seed: x}\n  b: {stop: {rounds: 0}}\n  c: {}\n"
    assert refusal_of_all(text) == [
        'x.yaml:11: seed: must be a whole number, got "x"',
        "x.yaml:5: fleet[0].count: must be at least 1, got 0",
        "x.yaml:12: stop.rounds: must be at least 1, got 0",
    ]


@pytest.mark.parametrize("variants", ["3", "[a, b]", "{}", "", "fedavg"])
def test_variants_must_map_names_to_changes(variants: str) -> None:
    message = "x.yaml:10: variants: must map names to what they change, as in fedpmt: {submodel: fedpmt}"
    assert refusal_of_all(f"{BASE}variants: {variants}") == [message]


@pytest.mark.parametrize("name", ["a/b", "..", "-a", "a b", '""', "x" * 101])
def test_a_variants_name_must_be_fit_for_a_folder(name: str) -> None:
    (problem,) = refusal_of_all(f"{BASE}variants: {{{name}: {{seed: 2}}}}")
    assert problem.startswith("x.yaml:10: variants.")
    assert problem.endswith(": a name may hold up to 100 letters, digits, dots, dashes and underscores")


def test_an_unknown_variant_is_refused_with_the_nearest() -> None:
    assert refusal(EVERYTHING, "fedpmd") == [
        'x.yaml: no variant "fedpmd"; did you mean "fedpmt"? (known: fedavg, fedpmt, synchronous)'
    ]
    assert refusal(BASE, "a") == ['x.yaml: no variant "a" (the scenario has none)']


# ----------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=4", ("seeds", "learning"), 4),
        ("training.epochs=2", ("training", "epochs"), 2),
        (" training.epochs = 2 ", ("training", "epochs"), 2),
        ("training={epochs: 2}", ("training", "epochs"), 2),
        ("training.epochs=null", ("training", "epochs"), None),
        ("stop.time=2 h", ("stop", "time"), 7200.0),
        ("stop={time: 2 h}", ("stop", "rounds"), 3),
        ("fleet[0].count=5", ("fleet", 0, "count"), 5),
        ("fleet.0.count=5", ("fleet", 0, "count"), 5),
        ("fleet[0]={profile: raspberry-pi-4}", ("fleet", 0, "count"), 3),
        ("fleet=[{profile: raspberry-pi-4, count: 7}]", ("fleet", 0, "profile"), "raspberry-pi-4"),
        ("model=mlp", ("model",), Mlp()),
        ("model={name: mlp, hidden: [3]}", ("model",), Mlp(hidden=(3,))),
        ("model.name=mlp", ("model",), Mlp()),
        ("dataset.partition={name: dirichlet, alpha: 1}", ("dataset", "partition"), Dirichlet(alpha=1.0)),
        ("coordination.clients_per_round=1", ("coordination",), Synchronous(clients_per_round=1)),
        ("coordination={clients_per_round: 1}", ("coordination",), Synchronous(clients_per_round=1)),
        ("evaluate.every=60 s", ("evaluate", "every"), Every(seconds=60.0)),
        ('data_root="a=b c"', ("data_root",), "a=b c"),
        ("name='7'", ("name",), "7"),
    ],
)
def test_set_overrides_one_value(text: str, path: tuple[str | int, ...], value: Any) -> None:
    found: Any = scenario(BASE, sets=[text])
    for part in path:
        found = found[part] if isinstance(part, int) else getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.epochs", "must be key.path=value, as in training.learning_rate=0.1"),
        ("=3", "must be key.path=value, as in training.learning_rate=0.1"),
        ("training..epochs=3", "must be key.path=value, as in training.learning_rate=0.1"),
        ("fleet[0.count=3", "must be key.path=value, as in training.learning_rate=0.1"),
        ("fleet[].count=3", "must be key.path=value, as in training.learning_rate=0.1"),
        ("fleet[1].count=3", "there is no entry [1]; the list has 1, counted from 0"),
        ("fleet[-1].count=3", "there is no entry [-1]; the list has 1, counted from 0"),
        ("fleet.count=3", "there is no entry [count]; the list has 1, counted from 0"),
        ("fleet[\u00b2].count=3", "there is no entry [\u00b2]; the list has 1, counted from 0"),
        (f"fleet[{'9' * 5000}].count=3", f"there is no entry [{'9' * 57}...]; the list has 1, counted"),
        (
            "fleet[0].cuont=3",
            'fleet[0].cuont: unknown key; did you mean "count"? (allowed: ',
        ),
        (
            "training.epoch=3",
            'training.epoch: unknown key; did you mean "epochs"? (allowed: batch_norm, batch_size,',
        ),
        ("training=3", "training: must be a mapping, got 3"),
        ("training.epochs=three", 'training.epochs: must be a whole number, got "three"'),
        ("stop.time=3", "stop.time: needs a unit, as in 30 s; got the bare number 3"),
        ("stop.rounds=[", "is not valid YAML: did not find expected node content"),
        ("stop.rounds=*a", 'alias "*a" is not accepted: write the value out'),
        ("stop.rounds=1e999", 'is no finite number: "1e999"'),
        ("stop.rounds=1\n2", 'stop.rounds: must be a whole number, got "1 2"'),
        ("fleet[0].network.uplink=3 Mbit/s", "fleet[0].network.downlink: is missing, and it is required"),
        ("seed.learning=4", "seed.timing: is missing, and it is required"),
        ("name.x=3", 'name: must be text, got {"name": "small", "x": 3}'),
        (
            "model=lenett",
            'model: no model "lenett"; did you mean "lenet"? (known: ',
        ),
        ("submodel.depth=2", "submodel: needs a name, one of: "),
        ("model.depth=2", "model.depth: unknown key (allowed: name)"),
        ("coordination.name=deadline", "coordination.clients_per_round: is missing, and it is required"),
        (
            "coordination.clients_per_round=9",
            "coordination.clients_per_round: asks for 9 devices, but the fleet has 3",
        ),
        ("variants.a.seed=3", "variants: unknown key (allowed: "),
        ("a.b.c=1", "a: unknown key (allowed: "),
    ],
)
def test_a_wrong_set_is_reported_as_such(text: str, message: str) -> None:
    problem = refusal(BASE, sets=[text])[0]
    assert problem.startswith(f"--set {cut_off(text)}: {message}")


def test_overrides_apply_in_order_and_after_the_variant() -> None:
    text = with_variant("{stop: {rounds: 5}, seed: 6}")
    assert scenario(text, "other").stop.rounds == 5
    assert scenario(text, "other", ["stop.rounds=7"]).stop.rounds == 7
    assert scenario(text, "other", ["stop.rounds=7", "stop.rounds=8"]).stop.rounds == 8
    assert [one.scenario.stop.rounds for one in resolve_all(document(text), ["stop.rounds=9"])] == [9]


def test_the_seed_of_the_command_line_wins() -> None:
    text = with_variant("{seed: 6}")
    assert scenario(text, "other", seed=8).seeds == Seeds(learning=8, timing=8)
    assert scenario(text, "other", ["seed={learning: 1, timing: 2}"], seed=8).seeds == Seeds(
        learning=8, timing=8
    )
    with pytest.raises(InputError, match=r"^--seed -1: seed: must be at least 0, got -1$"):
        resolve(document(BASE), seed=-1)


def test_a_mistake_that_is_overridden_is_none() -> None:
    assert scenario(changed("rounds: 3", "rounds: 0"), sets=["stop.rounds=2"]).stop.rounds == 2
