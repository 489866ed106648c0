"""What a scenario may say, and how what it may not say is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import registry, shipped, yaml_source
from edgesim.aggregation.covered import Covered
from edgesim.coordination.deadline import Deadline
from edgesim.coordination.synchronous import Synchronous
from edgesim.datasets._partition import Dirichlet, Iid
from edgesim.errors import InputError, Problem
from edgesim.growth.none import NoGrowth
from edgesim.models.fedavg_cnn import FedAvgCnn
from edgesim.models.mlp import Mlp
from edgesim.scenario import resolve, resolve_all
from edgesim.sections import Every, Seeds
from edgesim.selection.all import All
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from tests.scenarios import BASE, EVERYTHING, changed, document, refusal, scenario, with_variant


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
    assert found.aggregation == Covered()
    assert found.growth == NoGrowth()
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


def test_an_inverse_schedule_halves_the_learning_rate_after_so_many_versions() -> None:
    schedule = scenario(changed("stop", "training: {schedule: {name: inverse, versions: 50}}\nstop"))
    factor = schedule.training.schedule.factor
    assert [factor(version) for version in (0, 50, 100)] == pytest.approx([1, 1 / 2, 1 / 3])


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


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "name: small",
            "name: a/b",
            "x.yaml:1: name: a name may hold up to 100 letters, digits, dots, dashes and underscores, got",
        ),
        ("name: small", "name: ..", "x.yaml:1: name: a name may hold up to 100"),
        ("name: small", "name: 3", "x.yaml:1: name: must be text, got 3"),
        ("model: fedavg_cnn\n", "", "x.yaml:1: model: is missing, and it is required"),
        (
            "fedavg_cnn",
            "fedavg",
            'x.yaml:2: model: no model "fedavg"; did you mean "fedavg_cnn"? (known: ',
        ),
        (
            "fedavg_cnn",
            "{name: mlp, hidden: [0]}",
            "x.yaml:2: model.hidden[0]: must be at least 1",
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
        ("count: 3", "count: 0", "x.yaml:5: fleet[0].count: must be at least 1, got 0"),
        ("count: 3", "count: -1", "x.yaml:5: fleet[0].count: must be at least 1, got -1"),
        ("count: 3", "count: 2.5", "x.yaml:5: fleet[0].count: must be a whole number, got 2.5"),
        ("count: 3", 'count: "3"', 'x.yaml:5: fleet[0].count: must be a whole number, got "3"'),
        ("count: 3", "count: true", "x.yaml:5: fleet[0].count: must be a whole number, got true"),
        ("count: 3", "count: 1e30", "x.yaml:5: fleet[0].count: must be a whole number, got 1e+30"),
        (
            "count: 3",
            "count: 999999999",
            "x.yaml:5: fleet[0].count: must be at most 100000000, got 9",
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
            "synchronus",
            'x.yaml:6: coordination: no coordination "synchronus"; did you mean "synchronous"?',
        ),
        (
            "coordination:\n  name: synchronous\n  clients_per_round: 2\n",
            "",
            "x.yaml:1: coordination: is missing, and it is required",
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
            "x.yaml:9: stop.target.acuracy: must be 'accuracy', 'loss', 'top5_accuracy', 'gap' or "
            '\'distance\', got "acuracy"; did you mean "accuracy"?',
        ),
        ("{rounds: 3}", "{target: {}}", "x.yaml:9: stop.target: must have at least 1 item, got {}"),
        ("stop", "seed: -1\nstop", "x.yaml:9: seed: must be at least 0, got -1"),
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
            "x.yaml:9: training.lr: unknown key (allowed: batch_norm, batch_size, clip",
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
        (
            "stop",
            "execution: {device: gpu}\nstop",
            'x.yaml:9: execution.device: must be auto, cpu, cuda or cuda:N, got "gpu"',
        ),
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


def test_a_learning_rate_falls_at_milestones() -> None:
    text = changed("stop", "training: {schedule: {name: milestones, at: [2, 5], decay: 0.1}}\nstop")
    schedule = scenario(text).training.schedule
    assert [schedule.factor(version) for version in (0, 1, 2, 4, 5, 9)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
