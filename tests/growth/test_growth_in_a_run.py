"""Growth in whole runs: what it needs, when it counts, and what it looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgesim.aggregation._staleness import Poly
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.document import open_document
from edgesim.errors import InputError, RunFailed
from edgesim.experiment import Outcome, execute, federation
from edgesim.growth.adaptive import Adaptive
from edgesim.growth.none import NoGrowth
from edgesim.parts import Parts, prepare
from edgesim.planning import plan
from edgesim.retiming import time_dependence
from edgesim.scenario import resolve
from tests.scenarios import document, refusal, scenario
from tests.training.federations import order

SMALL = """\
# Three devices that begin with a quarter of the model, and three with half of it.
name: small
model: {name: mlp, hidden: [16]}
dataset: {name: digits, validation: 0.2}
fleet:
  - {profile: pixel-6, count: 3, capacity: 0.25}
  - {profile: pixel-7, count: 3, capacity: 0.5}
submodel: {name: heterofl, masked_classes: false}
coordination: {name: synchronous, clients_per_round: 6}
training: {batch_size: 64}
stop: {rounds: 8}
"""
HETEROFL = SMALL + "growth: {name: linear, per_round: 0.125, ladder: [0.375, 0.5]}\n"
FEDPMT = (
    SMALL.replace("{name: heterofl, masked_classes: false}", "fedpmt")
    .replace("capacity: 0.25", "capacity: 1")
    .replace("capacity: 0.5", "capacity: 2")
)
ADAPTIVE = SMALL + "growth: {name: adaptive, patience: 1, every: 1}\n"


def prepared(folder: Path, text: str, *overrides: str) -> Parts:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return prepare(resolve(open_document(str(path)), None, overrides))


def rows(outcome: Outcome, name: str, *columns: str) -> list[tuple[Any, ...]]:
    table = outcome.tables[name]
    return list(zip(*(table[column] for column in columns), strict=True))


def timeline(outcome: Outcome) -> list[tuple[Any, ...]]:
    return rows(outcome, "dispatches", "device", "dispatched_s", "finished_s", "submodel", "bytes_up")


# ------------------------------------------------------------------------------------------ whole runs


def test_a_linear_floor_raises_widths_round_by_round_and_training_changes_no_time(tmp_path: Path) -> None:
    parts = prepared(tmp_path, HETEROFL)
    trained, timed = execute(parts), execute(parts, timing_only=True)
    assert timeline(trained) == timeline(timed)
    assert trained.tables["growth"] == timed.tables["growth"]
    found = rows(trained, "growth", "version", "device", "capacity_before", "capacity", "cause", "outcome")
    assert found == [
        *((1, device, 0.25, 0.375, "schedule", "grown") for device in range(3)),
        *((2, device, 0.375, 0.5, "schedule", "grown") for device in range(3)),
        *((6, device, 0.5, 1.0, "schedule", "grown") for device in range(6)),
    ]
    density = trained.tables["aggregations"]["mean_density"]
    assert density == sorted(density)
    assert density[5] < density[6] == 1.0
    losses = trained.tables["evaluations"]["loss"]
    assert losses[-1] < losses[0]


def test_a_fixed_time_raises_depths_with_the_visits_that_leave_after_it(tmp_path: Path) -> None:
    round_s = execute(prepared(tmp_path, FEDPMT), timing_only=True).tables["aggregations"]["time_s"]
    text = FEDPMT + f"growth: {{name: fixed_time, at: [{round_s[1]!r} s]}}\n"
    parts = prepared(tmp_path, text)
    trained, timed = execute(parts), execute(parts, timing_only=True)
    assert timeline(trained) == timeline(timed)
    depths = {
        version: {
            label for base, label in rows(timed, "dispatches", "base_version", "submodel") if base == version
        }
        for version in range(4)
    }
    assert depths[0] == depths[1] == {"fedpmt depth 1", "fedpmt depth 2"}
    assert depths[2] == depths[3] == {"fedpmt depth 2"}


def test_a_run_leaves_the_capacities_of_its_parts_as_they_were(tmp_path: Path) -> None:
    parts = prepared(tmp_path, HETEROFL)
    first, second = (execute(parts, timing_only=True) for _ in range(2))
    assert parts.ledger.capacity.tolist() == [0.25] * 3 + [0.5] * 3
    assert first.tables["growth"] == second.tables["growth"]


def test_without_growth_there_is_no_table_of_it(tmp_path: Path) -> None:
    assert "growth" not in execute(prepared(tmp_path, SMALL), timing_only=True).tables


def test_what_does_not_fit_stays_where_it_was_and_is_counted(tmp_path: Path) -> None:
    parts = prepared(tmp_path, HETEROFL)
    largest = parts.ledger.workload_of(parts.ledger.expected(0.5), int(parts.ledger.samples[1])).memory_bytes
    own_bytes = int(parts.fleet.memory_bytes[1])
    assert [parts.ledger.has_memory(1, needed) for needed in (own_bytes, own_bytes + 1)] == [True, False]
    parts.ledger.has_memory = lambda device, needed_bytes: device != 1 or needed_bytes < largest
    found = execute(parts, timing_only=True)
    of_one = [row for row in rows(found, "growth", "device", "capacity", "outcome") if row[0] == 1]
    assert of_one == [(1, 0.375, "grown"), (1, 0.5, "too_large"), (1, 1.0, "too_large")]
    labels = [label for device, label in rows(found, "dispatches", "device", "submodel") if device == 1]
    assert labels[-1] == "heterofl width 0.375"
    assert "out_of_memory" not in found.tables["dispatches"]["outcome"]


def test_a_visit_under_way_keeps_the_sub_model_that_it_has(tmp_path: Path) -> None:
    semi = "coordination: {name: semi_asynchronous, reference: {profile: pixel-7}}"
    slow = HETEROFL.replace("coordination: {name: synchronous, clients_per_round: 6}", semi).replace(
        "capacity: 0.25", "capacity: 0.25, network: {downlink: 5 kbit/s, uplink: 5 kbit/s}"
    )
    found = execute(prepared(tmp_path, slow), timing_only=True)
    columns = ("device", "base_version", "staleness", "submodel")
    late = [row for row in rows(found, "dispatches", *columns) if row[0] == 0 and row[2]]
    assert late[0] == (0, 0, late[0][2], "heterofl width 0.25")  # although the floor was higher when it came


# -------------------------------------------------------------------------------------------- accuracies


@pytest.mark.parametrize(("data", "split"), [("validation", "held_back"), ("test", "test_y")])
def test_adaptive_growth_looks_at_the_split_that_it_is_told_and_at_no_other(
    data: str, split: str, tmp_path: Path
) -> None:
    parts = prepared(tmp_path, ADAPTIVE, f"growth.data={data}")
    learner = federation(parts)
    assert learner.clients is not None
    samples = learner.clients.evaluator(parts.network).samples
    held = parts.data.test_x if split == "test_y" else parts.data.train_x[parts.held_back]
    assert np.array_equal(samples.x.numpy(), held)
    assert any("test set" in note for note in parts.notes) == (data == "test")


def test_adaptive_growth_does_not_depend_on_the_test_set(tmp_path: Path) -> None:
    parts = prepared(tmp_path, ADAPTIVE, "stop.rounds=6")
    other = replace(parts, data=replace(parts.data, test_y=(parts.data.test_y + 1) % 10))
    one, another = execute(parts), execute(other)
    assert one.tables["growth"] == another.tables["growth"]
    assert one.tables["growth"]["device"]
    assert one.tables["evaluations"]["accuracy"] != another.tables["evaluations"]["accuracy"]


def test_a_run_ends_with_the_plateau_after_everything_has_grown(tmp_path: Path) -> None:
    frozen = ADAPTIVE.replace("{batch_size: 64}", "{batch_size: 64, learning_rate: 1e-12}")
    found = execute(prepared(tmp_path, frozen, "stop.rounds=100", "coordination.clients_per_round=6"))
    assert found.reason == "growth"
    capacity = dict(rows(found, "growth", "device", "capacity"))
    assert set(capacity.values()) == {1.0}


def test_the_average_counts_what_is_not_held_as_zero(tmp_path: Path) -> None:
    parts = prepared(tmp_path, ADAPTIVE, "growth.every=100", "stop.rounds=1")
    learner = federation(parts)
    learner.assign([order(0, 0), order(1, 3)])
    learner.aggregate([0, 1], [0, 0], 1.0)
    assert learner.clients is not None
    small, large = (learner.clients._kept[device] for device in (0, 3))
    found = learner.clients.average(learner.weights)
    name = next(iter(found))  # [16, 64], of which 4 and 8 rows are held
    expected = torch.zeros(16, 64)
    expected[:4] += small.weight * small.params[name]
    expected[:8] += large.weight * large.params[name]
    assert torch.allclose(found[name], expected / (small.weight + large.weight), atol=1e-7)


def test_a_small_network_is_evaluated_as_it_was_trained(tmp_path: Path) -> None:
    """With its activations divided by the rate, unlike the whole network in evaluation."""
    parts = prepared(tmp_path, ADAPTIVE, "growth.every=100", "stop.rounds=1")
    learner = federation(parts)
    learner.assign([order(0, 0)])
    learner.aggregate([0], [0], 1.0)
    assert learner.clients is not None
    kept = learner.clients._kept[0]
    learner.clients.look([0], learner.weights)
    network = learner.clients._evaluators[kept.network].network
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        scaled = torch.func.functional_call(network.eval(), dict(kept.tensors), (x,))
        as_trained = torch.func.functional_call(kept.network.train(), dict(kept.tensors), (x,))
        plain = torch.func.functional_call(kept.network.eval(), dict(kept.tensors), (x,))
    assert torch.equal(scaled, as_trained)
    assert not torch.allclose(scaled, plain)


def test_fedpmt_s_sub_models_are_whole_with_the_layers_that_they_only_run(tmp_path: Path) -> None:
    text = FEDPMT.replace("hidden: [16]", "hidden: [16, 8]") + "growth: {name: adaptive, every: 1}\n"
    parts = prepared(tmp_path, text, "stop.rounds=2")
    learner = federation(parts)
    before = dict(learner.weights)
    learner.assign([order(0, 0)])
    learner.aggregate([0], [0], 1.0)
    assert learner.clients is not None
    tensors = learner.clients._kept[0].tensors
    assert set(tensors) == set(before)
    assert [torch.equal(tensors[name], before[name]) for name in before] == [True] * 4 + [False] * 2


# ---------------------------------------------------------------------------------- what makes no sense


def test_growth_needs_a_capacity_that_is_one_number() -> None:
    (message,) = refusal(HETEROFL.replace("{name: heterofl, masked_classes: false}", "full"))
    assert message.startswith('x.yaml:12: growth: "linear" raises capacities, and what "full" gives')


def test_a_validation_split_is_needed_where_accuracy_is_looked_at() -> None:
    text = ADAPTIVE.replace("{name: digits, validation: 0.2}", "digits")
    (message,) = refusal(text)
    assert 'dataset.validation: is 0, and growth "adaptive" looks at the accuracy on a validation' in message
    assert "validation: 0.1" in message
    assert isinstance(scenario(text, sets=["growth.data=test"]).growth, Adaptive)


def test_timing_alone_cannot_follow_accuracies(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match='growth: "adaptive" decides by accuracies, and --timing-only trains'
    ):
        execute(prepared(tmp_path, ADAPTIVE), timing_only=True)


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ("{name: linear, per_round: 0.1, ladder: [0.5, 0.25]}", "growth.ladder: must rise from each to the"),
        ("{name: linear, per_round: 0}", "growth.per_round: must be greater than 0, got 0"),
        ("{name: linear, per_round: 0.1, ladder: []}", "growth.ladder: must have at least 1 item"),
        ("{name: fixed_time, at: [2 s, 1 s]}", "growth.at: must rise from each to the next, got 2, 1"),
        ("{name: fixed_time, at: [1 s, 0 s]}", "growth.at[1]: must be finite and more than zero"),
        ("{name: fixed_time, at: [4]}", "growth.at[0]: needs a unit, as in 30 s; got the bare number 4"),
        ("adaptve", 'growth: no growth "adaptve"; did you mean "adaptive"?'),
        ("{name: none, ladder: [1]}", "growth.ladder: unknown key (allowed: name)"),
    ],
)
def test_a_wrong_rule_is_refused_where_it_stands(growth: str, message: str) -> None:
    (found,) = refusal(SMALL + f"growth: {growth}\n")
    assert found.startswith(f"x.yaml:12: {message}")


def test_a_rung_that_the_method_cannot_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"yaml:12: growth.ladder: must be a whole number from 1 to 2"):
        prepared(tmp_path, FEDPMT + "growth: {name: linear, per_round: 0.1, ladder: [1.5]}\n")


@pytest.mark.parametrize("growth", ["adaptive", "{name: fixed_time, at: [1 s]}"])
def test_what_grows_by_time_or_accuracy_is_not_re_timed(growth: str) -> None:
    (problem,) = time_dependence(scenario(SMALL + f"growth: {growth}\n"))
    assert problem.path == "growth"
    assert list(time_dependence(scenario(HETEROFL))) == []


def test_a_plan_is_of_the_beginning_and_says_so(tmp_path: Path) -> None:
    found = plan(prepared(tmp_path, ADAPTIVE), "main")
    assert {row.capacity for row in found.classes} == {0.25, 0.5}
    assert any("growth is left out of the plan" in note for note in found.notes)


OWN = """\
from dataclasses import replace
from typing import ClassVar

from edgesim.growth._growth import Grown, GrowthRule, Step
from edgesim.registry import component
from edgesim.submodels.heterofl import HeteroFL


@component
class One(GrowthRule):
    device: int = 0
    capacity: float = 1.0

    def step(self, state, seen):
        if seen.version > 1:
            return Step(state)
        return Step(state, [Grown(self.device, self.capacity, "schedule")])


@component
class Whole(HeteroFL):
    growth: ClassVar[str] = "adaptive"
    coordination: ClassVar[str | None] = "semi_asynchronous"
    staleness_exponent: ClassVar[float | None] = 0.6
"""


def test_a_rule_of_ones_own_lives_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "my_rule.py").write_text(OWN)
    text = SMALL + 'growth: {name: "my_rule:One", device: 2}\n'
    found = execute(prepared(tmp_path, text), timing_only=True)
    assert rows(found, "growth", "device", "capacity_before", "capacity") == [(2, 0.25, 1.0)]
    with pytest.raises(
        RunFailed, match=r"growth: device 3 has capacity 0.5, and would get 0.25; capacities never"
    ):
        execute(prepared(tmp_path, text, "growth.device=3", "growth.capacity=0.25"), timing_only=True)


# ------------------------------------------------------------------------------- what a sub-model implies


def test_a_sub_model_alone_names_its_growth_coordination_and_discount(tmp_path: Path) -> None:
    (tmp_path / "my_method.py").write_text(OWN)
    text = SMALL.replace("{name: heterofl, masked_classes: false}", '"my_method:Whole"').replace(
        "coordination: {name: synchronous, clients_per_round: 6}\n", ""
    )
    found = resolve(document(text, tmp_path)).scenario
    assert found.growth == Adaptive()
    assert found.coordination == SemiAsynchronous()
    assert found.aggregation.staleness == Poly(exponent=0.6)
    assert found.aggregation.weights == "equal"
    written = found.to_yaml()
    for stated in ("name: adaptive", "name: semi_asynchronous", "name: covered", "exponent: 0.6"):
        assert stated in written
    assert resolve(document(written, tmp_path)).scenario == found
    synchronous = text + "coordination: {name: synchronous, clients_per_round: 2}\ngrowth: none\n"
    assert resolve(document(synchronous, tmp_path)).scenario.growth == NoGrowth()


def test_a_coordination_is_not_called_missing_where_the_sub_model_is_wrong() -> None:
    text = SMALL.replace("coordination: {name: synchronous, clients_per_round: 6}\n", "")
    assert [line.split(": ")[1:3] for line in refusal(text)] == [
        ["coordination", "is missing, and it is required"]
    ]
    (message,) = refusal(text.replace("heterofl,", "heterofll,"))
    assert message.startswith('x.yaml:8: submodel: no submodel "heterofll"')
