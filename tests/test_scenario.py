"""What a scenario file may say, its variants, and what the command line may override in it."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import registry, shipped, yaml_source
from edgesim.coordination.deadline import Deadline
from edgesim.coordination.synchronous import Synchronous
from edgesim.datasets._partition import Dirichlet, Iid
from edgesim.errors import InputError, Problem
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.mlp import Mlp
from edgesim.scenario import (
    Document,
    Every,
    Experiment,
    Scenario,
    Seeds,
    open_document,
    resolve,
    resolve_all,
    schema,
    shipped_names,
)
from edgesim.selection.all import All
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full

HERE = Path(__file__).parent

BASE = """\
name: small
model: fedavg_cnn
dataset: digits
fleet:
  - {profile: pixel-6, count: 3}
coordination:
  name: synchronous
  clients_per_round: 2
stop: {rounds: 3}
"""

EVERYTHING = """\
# Does FedPMT finish the task sooner than FedAvg when a third of the fleet is slow?
name: fedpmt-vs-fedavg
seed: {learning: 1, timing: 2}
data_root: ../data
model: {name: mlp, hidden: [200, 100]}
dataset: {name: fashion_mnist, partition: {name: dirichlet, alpha: 0.3, clients: 30}, validation: 0.1}
fleet:
  - {profile: jetson-orin-nano, count: 20, compute: {rate: 5 GFLOP/s, step_overhead: 1 ms, jitter: 0.1}}
  - profile: raspberry-pi-4
    count: 10
    network: lte
    straggler: {slowdown: {dist: lognormal, sigma: 0.5}, probability: 0.1}
    capacity: 2
  - {profile: pixel-6, count: 1, network: {uplink: 3 Mbit/s, downlink: 12 Mbit/s, latency: 20 ms}}
submodel: {name: fedpmt, fit: {target: 30 s}}
selection: uniform
coordination:
  {name: deadline, clients_per_round: 10, over_selection: 1.5, deadline: 2 min, minimum_fraction: 0.5}
aggregation: {name: covered, weights: equal}
training:
  epochs: 2
  batch_size: 16
  optimizer: sgd
  learning_rate: 0.05
  schedule: {name: exponential, decay: 0.99}
  momentum: 0.9
  weight_decay: 1e-4
  clip_norm: 5
  proximal: 0.01
  loss: cross_entropy
evaluate: {every: 60 s, train: true}
stop: {rounds: 60, time: 2 h, dispatches: 1000, target: {accuracy: 0.8}}
execution: {device: cpu, threads: 2, mode: stacked, cohort: 20, memory_format: contiguous, precision: float64}
variants:
  fedavg: {submodel: full}
  fedpmt: {submodel: {depth: 2, fit: null}}
  synchronous:
    coordination: {name: synchronous, clients_per_round: 10}
    selection: all
"""


def document(text: str, folder: Path = HERE) -> Document:
    return Document(yaml_source.parse(text, "x.yaml"), folder / "x.yaml")


def scenario(
    text: str, variant: str | None = None, sets: Sequence[str] = (), seed: int | None = None
) -> Scenario:
    return resolve(document(text), variant, sets, seed).scenario


def refusal(text: str, variant: str | None = None, sets: Sequence[str] = ()) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(document(text), variant, sets)
    return str(caught.value).splitlines()


def refusal_of_all(text: str, sets: Sequence[str] = ()) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve_all(document(text), sets)
    return str(caught.value).splitlines()


def changed(before: str, after: str) -> str:
    assert before in BASE
    return BASE.replace(before, after)


# ------------------------------------------------------------------------------------------------- accepted


def test_every_field_of_the_design_is_accepted() -> None:
    found = scenario(EVERYTHING)
    assert found.name == "fedpmt-vs-fedavg"
    assert found.seeds == Seeds(learning=1, timing=2)
    assert found.data_root == "../data"
    assert found.model == Mlp(hidden=(200, 100))
    assert registry.name_of(found.dataset) == "fashion_mnist"
    assert found.dataset.partition == Dirichlet(alpha=0.3, clients=30)
    assert found.dataset.validation == 0.1
    assert [(group.profile, group.count, group.capacity) for group in found.fleet] == [
        ("jetson-orin-nano", 20, None),
        ("raspberry-pi-4", 10, 2),
        ("pixel-6", 1, None),
    ]
    assert found.fleet[0].compute is not None
    assert (found.fleet[0].compute.rate, found.fleet[0].compute.step_overhead) == (5e9, 1e-3)
    assert found.fleet[1].network == "lte"
    assert found.fleet[1].straggler is not None
    assert found.fleet[1].straggler.slowdown.dist == "lognormal"
    assert isinstance(found.submodel, FedPMT)
    assert found.submodel.fit_target_s() == 30.0
    assert found.coordination == Deadline(
        clients_per_round=10, over_selection=1.5, deadline=120.0, minimum_fraction=0.5
    )
    assert found.aggregation is not None
    assert found.aggregation.weights == "equal"
    assert found.training.schedule.factor(2) == pytest.approx(0.99**2)
    assert (found.training.weight_decay, found.training.clip_norm) == (1e-4, 5)
    assert found.evaluate.every == Every(seconds=60.0)
    assert (found.stop.time, found.stop.dispatches, found.stop.target) == (7200.0, 1000, {"accuracy": 0.8})
    assert (found.execution.mode, found.execution.cohort) == ("stacked", 20)


def test_every_variant_of_it_is_accepted() -> None:
    fedavg, fedpmt, synchronous = (one.scenario for one in resolve_all(document(EVERYTHING)))
    assert fedavg.submodel == Full()
    assert fedpmt.submodel == FedPMT(depth=2)
    assert synchronous.coordination == Synchronous(clients_per_round=10)
    assert synchronous.selection == All()
    assert fedavg.coordination == fedpmt.coordination == scenario(EVERYTHING).coordination


def test_what_is_left_out_has_its_default() -> None:
    found = scenario(BASE)
    assert found.seeds == Seeds(learning=1, timing=1)
    assert found.model == FedAvgCnn()
    assert found.dataset.partition == Iid()
    assert found.submodel == Full()
    assert registry.name_of(found.selection) == "uniform"
    assert found.aggregation is None
    assert found.evaluate.every == Every(rounds=1)
    assert found.fleet[0].network is None
    assert (found.training.epochs, found.training.steps) == (None, None)


def test_a_bare_name_and_its_mapping_mean_the_same_everywhere() -> None:
    bare = {
        "model": "mlp",
        "dataset": "digits",
        "submodel": "fedpmt",
        "selection": "all",
        "aggregation": "fill",
    }
    longer = {key: {"name": name} for key, name in bare.items()}
    rest = yaml.safe_load(BASE)
    short, long = (
        scenario(yaml.safe_dump({**rest, **given, "training": {"schedule": schedule}}))
        for given, schedule in ((bare, "constant"), (longer, {"name": "constant"}))
    )
    assert short == long


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("1 round", Every(rounds=1)),
        ("05 rounds", Every(rounds=5)),
        ("60 s", Every(seconds=60.0)),
        ("0.5 min", Every(seconds=30.0)),
    ],
)
def test_evaluation_is_by_rounds_or_by_time(text: str, every: Every) -> None:
    found = scenario(BASE + f"evaluate: {{every: {text}}}")
    assert found.evaluate.every == every
    assert Every.parse(str(every)) == every


# ------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "name: small",
            "name: a/b",
            "x.yaml:1: name: must match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', got",
        ),
        ("name: small", "name: ..", "x.yaml:1: name: must match pattern"),
        ("name: small", "name: 3", "x.yaml:1: name: must be a valid string, got 3"),
        ("model: fedavg_cnn\n", "", "x.yaml:1: model: is missing, and it is required"),
        (
            "fedavg_cnn",
            "fedavg",
            'x.yaml:2: model: no model "fedavg"; did you mean "fedavg_cnn"? (known: fedavg_cnn',
        ),
        (
            "fedavg_cnn",
            "{name: mlp, hidden: [0]}",
            "x.yaml:2: model.hidden[0]: must be greater than or equal to 1",
        ),
        (
            "digits",
            "{name: digits, partition: shard}",
            'x.yaml:3: dataset.partition: no partition "shard"; did you ',
        ),
        (
            "digits",
            "{name: digits, partition: dirichlet}",
            "x.yaml:3: dataset.partition.alpha: is missing, and it ",
        ),
        (
            "digits",
            "{name: digits, validation: 1}",
            "x.yaml:3: dataset.validation: must be less than 1, got 1",
        ),
        (
            "pixel-6",
            "pixel6",
            'x.yaml:5: fleet[0].profile: no device profile "pixel6"; did you mean "pixel-6"? (device',
        ),
        (
            "count: 3",
            "count: 3, network: let",
            'x.yaml:5: fleet[0].network: no network "let"; did you mean "lte"? (',
        ),
        ("count: 3", "count: 0", "x.yaml:5: fleet[0].count: must be greater than or equal to 1, got 0"),
        ("count: 3", "count: -1", "x.yaml:5: fleet[0].count: must be greater than or equal to 1, got -1"),
        ("count: 3", "count: 2.5", "x.yaml:5: fleet[0].count: must be a valid integer, got 2.5"),
        ("count: 3", 'count: "3"', 'x.yaml:5: fleet[0].count: must be a valid integer, got "3"'),
        ("count: 3", "count: true", "x.yaml:5: fleet[0].count: must be a valid integer, got true"),
        ("count: 3", "count: 1e30", "x.yaml:5: fleet[0].count: must be a valid integer, got 1e+30"),
        (
            "count: 3",
            "count: 999999999",
            "x.yaml:5: fleet[0].count: must be less than or equal to 100000000, got 9",
        ),
        (
            "count: 3",
            "count: 20000000",
            "x.yaml:4: fleet: has 20000000 devices; at most 10000000 are simulated",
        ),
        ("\n  - {profile: pixel-6, count: 3}", " []", "x.yaml:4: fleet: must have at least 1 item, got []"),
        (
            "clients_per_round: 2",
            "clients_per_round: 4",
            "x.yaml:8: coordination.clients_per_round: asks for 4 dev",
        ),
        (
            "  clients_per_round: 2\n",
            "",
            "x.yaml:6: coordination.clients_per_round: is missing, and it is required",
        ),
        ("synchronous", "deadline", "x.yaml:6: coordination.deadline: is missing, and it is required"),
        (
            "synchronous",
            "asynchronus",
            'x.yaml:6: coordination: no coordination "asynchronus"; did you mean "synch',
        ),
        ("{rounds: 3}", "{}", "x.yaml:9: stop: needs at least one of rounds, time, dispatches, target"),
        (
            "{rounds: 3}",
            "{time: 60}",
            "x.yaml:9: stop.time: needs a unit, as in 30 s; got the bare number 60",
        ),
        ("{rounds: 3}", "{time: 0 s}", 'x.yaml:9: stop.time: must be finite and more than zero, got "0 s"'),
        (
            "{rounds: 3}",
            "{target: {accuracy: 80}}",
            "x.yaml:9: stop.target: accuracy is a share between 0 and 1, got 80; for 80 % write 0.8",
        ),
        (
            "{rounds: 3}",
            "{target: {accuracy: 0}}",
            "x.yaml:9: stop.target: accuracy is a share between 0 and 1, got 0",
        ),
        ("{rounds: 3}", "{target: {loss: -1}}", "x.yaml:9: stop.target: loss must be more than 0, got -1"),
        (
            "{rounds: 3}",
            "{target: {acuracy: 0.8}}",
            "x.yaml:9: stop.target.acuracy: must be 'accuracy' or 'loss', got "
            '"acuracy"; did you mean "accuracy"?',
        ),
        ("{rounds: 3}", "{target: {}}", "x.yaml:9: stop.target: must have at least 1 item, got {}"),
        ("stop", "seed: -1\nstop", "x.yaml:9: seed: must be greater than or equal to 0, got -1"),
        (
            "stop",
            "seed: 99999999999999999999\nstop",
            "x.yaml:9: seed: must be less than 9223372036854775808, got 999",
        ),
        ("stop", "seed: {learning: 1}\nstop", "x.yaml:9: seed.timing: is missing, and it is required"),
        (
            "stop",
            "training: {epochs: 1, steps: 2}\nstop",
            "x.yaml:9: training: give epochs or steps, not both",
        ),
        (
            "stop",
            "training: {optimizer: adm}\nstop",
            "x.yaml:9: training.optimizer: must be 'sgd' or 'adam', got \"adm\"; did you mean \"adam\"?",
        ),
        (
            "stop",
            "training: {optimizer: adam, momentum: 0.9}\nstop",
            "x.yaml:9: training: adam has no momentum; leave",
        ),
        (
            "stop",
            "training: {schedule: exponential}\nstop",
            "x.yaml:9: training.schedule.decay: is missing, and it is",
        ),
        (
            "stop",
            "training: {lr: 0.1}\nstop",
            "x.yaml:9: training.lr: unknown key (allowed: batch_size, clip_norm, e",
        ),
        (
            "stop",
            "evaluate: {every: 0 rounds}\nstop",
            'x.yaml:9: evaluate.every: must be like 1 round or 60 s, got "0',
        ),
        (
            "stop",
            "evaluate: {every: 5}\nstop",
            "x.yaml:9: evaluate.every: must be like 1 round or 60 s, got 5",
        ),
        (
            "stop",
            "evaluate: {every: 5 B}\nstop",
            'x.yaml:9: evaluate.every: "5 B" has the wrong dimension; wanted is o',
        ),
        (
            "stop",
            "submodel: {name: fedpmt, depth: 1, fit: {}}\nstop",
            "x.yaml:9: submodel: give depth or fit, not both",
        ),
        ("stop", "execution: {device: gpu}\nstop", "x.yaml:9: execution.device: must match pattern"),
        (
            "stop",
            "sop: {}\nstop",
            'x.yaml:9: sop: unknown key; did you mean "stop"? (allowed: aggregation, coordinati',
        ),
    ],
)
def test_a_mistake_is_reported_with_line_path_and_remedy(before: str, after: str, message: str) -> None:
    (problem,) = refusal(changed(before, after))
    assert problem.startswith(message)


def test_all_mistakes_of_a_scenario_are_reported_at_once() -> None:
    text = changed("pixel-6, count: 3", "pixel6, count: 0").replace("{rounds: 3}", "{rounds: x}\nfoo: 1")
    assert sorted(problem.split(": ")[1] for problem in refusal(text)) == [
        "fleet[0].count",
        "fleet[0].profile",
        "foo",
        "stop.rounds",
    ]


def test_an_empty_or_wrong_document_is_refused() -> None:
    assert refusal("") == ["x.yaml:1: must be a mapping of keys to values, but it is empty"]
    assert refusal("- a", sets=["seed=1"]) == ['x.yaml:1: must be a mapping of keys to values, but got ["a"]']


def test_a_problem_found_later_gets_the_place_of_its_key() -> None:
    experiment = resolve(document(BASE), None, ["stop.rounds=5"])
    placed = experiment.placed(
        InputError(
            Problem("a", "fleet[0].count"),
            Problem("b", "dataset.partition"),
            Problem("c", "stop.rounds"),
            Problem("d", "model", "elsewhere"),
            Problem("e"),
        )
    )
    assert str(placed).splitlines() == [
        "x.yaml:5: fleet[0].count: a",
        "x.yaml:3: dataset.partition: b",
        "--set stop.rounds=5: stop.rounds: c",
        "elsewhere: model: d",
        "x.yaml:1: e",
    ]


# ------------------------------------------------------------------------------------------------ variants


def with_variant(change: str, base: str = BASE) -> str:
    return f"{base}variants:\n  other: {change}\n"


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
            "x.yaml:13: training.epochs: must be greater than or equal to 1, got 0",
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
        'x.yaml:11: seed: must be a valid integer, got "x"',
        "x.yaml:5: fleet[0].count: must be greater than or equal to 1, got 0",
        "x.yaml:12: stop.rounds: must be greater than or equal to 1, got 0",
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
        (f"fleet[{'9' * 5000}].count=3", f"there is no entry [{'9' * 5000}]; the list has 1, counted from 0"),
        (
            "fleet[0].cuont=3",
            'fleet[0].cuont: unknown key; did you mean "count"? (allowed: capacity, compute, count',
        ),
        (
            "training.epoch=3",
            'training.epoch: unknown key; did you mean "epochs"? (allowed: batch_size, clip_norm,',
        ),
        ("training=3", "training: must be a mapping, got 3"),
        ("training.epochs=three", 'training.epochs: must be a valid integer, got "three"'),
        ("stop.time=3", "stop.time: needs a unit, as in 30 s; got the bare number 3"),
        ("stop.rounds=[", "is not valid YAML: did not find expected node content"),
        ("stop.rounds=*a", 'alias "*a" is not accepted: write the value out'),
        ("stop.rounds=1e999", 'is no finite number: "1e999"'),
        ("stop.rounds=1\n2", 'stop.rounds: must be a valid integer, got "1 2"'),
        ("fleet[0].network.uplink=3 Mbit/s", "fleet[0].network.downlink: is missing, and it is required"),
        ("seed.learning=4", "seed.timing: is missing, and it is required"),
        ("name.x=3", 'name: must be a valid string, got {"name": "small", "x": 3}'),
        (
            "model=lenett",
            'model: no model "lenett"; did you mean "lenet"? (known: fedavg_cnn, lenet, mlp, or modul',
        ),
        ("submodel.depth=2", "submodel: needs a name, one of: fedpmt, full"),
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
    shown = " ".join(text.split())
    assert problem.startswith(f"--set {shown}: {message}")


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
    with pytest.raises(InputError, match=r"^--seed -1: seed: must be greater than or equal to 0, got -1$"):
        resolve(document(BASE), seed=-1)


def test_a_mistake_that_is_overridden_is_none() -> None:
    assert scenario(changed("rounds: 3", "rounds: 0"), sets=["stop.rounds=2"]).stop.rounds == 2


# ------------------------------------------------------------------------------------- writing, schema, files


def reread(found: Experiment) -> Scenario:
    return scenario(found.scenario.to_yaml())


SHIPPED = [(name, variant) for name in shipped_names() for variant in open_document(name).variants or (None,)]


@pytest.mark.parametrize(("name", "variant"), SHIPPED)
def test_a_shipped_scenario_is_valid_and_survives_writing(name: str, variant: str | None) -> None:
    found = resolve(open_document(name), variant)
    assert reread(found) == found.scenario


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_asks_its_question_first(name: str) -> None:
    first = (shipped.folder("scenarios") / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
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
@settings(max_examples=25)
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
    assert valid_by_schema((shipped.folder("scenarios") / f"{name}.yaml").read_text(encoding="utf-8"))


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
        ("gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
        ("x" * 5000, 'no scenario "xxx'),
        (".", ".: is a folder; give a scenario file"),
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


OWN = """\
from torch import nn
from edgesim.registry import component
from edgesim.submodels.fedpmt import FedPMT
from edgesim.yaml_source import Count

@component
class Deeper(FedPMT):
    more: Count = 1

class Net(nn.Module):
    def __init__(self, width: int, num_classes: int):
        super().__init__()
"""


def test_a_scenario_names_components_that_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("")  # so that the search path is put back afterwards
    (tmp_path / "beside_scenario.py").write_text(OWN)
    text = changed("fedavg_cnn", "{name: 'beside_scenario:Net', width: 3}")
    text = with_variant("{submodel: {more: 2}}", text + "submodel: beside_scenario:Deeper\n")
    found = resolve(document(text, tmp_path), "other")
    assert registry.name_of(found.scenario.model) == "beside_scenario:Net"
    assert registry.name_of(found.scenario.submodel) == "beside_scenario:Deeper"
    assert resolve(document(found.scenario.to_yaml(), tmp_path)).scenario == found.scenario
    with pytest.raises(
        InputError, match=r'^x.yaml:2: model: "beside_scenario:Net": .* \(parameters: width, num_'
    ):
        resolve(document(text.replace("width: 3", "widht: 3"), tmp_path))


def test_a_profile_beside_the_scenario_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "device_profiles"
    folder.mkdir()
    (folder / "mine.yaml").write_bytes((shipped.folder("device_profiles") / "pixel-6.yaml").read_bytes())
    text = changed("pixel-6", "mine")
    assert resolve(document(text, tmp_path)).scenario.fleet[0].profile == "mine"
    assert refusal(text)[0].startswith('x.yaml:5: fleet[0].profile: no device profile "mine"')


# -------------------------------------------------------------------------------------------------- mutants

QUICKSTART = (shipped.folder("scenarios") / "quickstart.yaml").read_text(encoding="utf-8")
LINES = QUICKSTART.splitlines()
PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "- ",
    "\n",
    "  ",
    "'",
    '"',
    "#",
    "&a",
    "*a",
    "!",
    "null",
    "0",
    "-1",
    "1e9",
]


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """The quick start with lines and characters deleted, doubled or replaced."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 2))):
        at, other = (draw(st.integers(0, len(LINES) - 1)) for _ in range(2))
        lines[at % len(lines) : at % len(lines) + draw(st.integers(0, 1))] = [LINES[other]][
            : draw(st.integers(0, 1))
        ]
    text = "\n".join(lines)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.sampled_from(PIECES) | st.text(max_size=2))
        text = text[:at] + new + text[at + draw(st.integers(0, 6)) :]
    return text


@given(mutants())
@settings(max_examples=60, deadline=None)
def test_a_mutant_of_the_quick_start_is_valid_or_refused_with_places(text: str) -> None:
    try:
        read = replace(document("{}"), source=yaml_source.parse(text, "x.yaml"))
        resolve_all(read)
        resolve(read)
    except InputError as error:
        places = {problem.place.partition(":")[0] for problem in error.problems}
        if places != {"x.yaml"}:
            raise AssertionError(str(error)) from error
