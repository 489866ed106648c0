"""Whole runs from scenario text: time by hand, repeatability, and what may not change what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.aggregation._aggregator import Aggregator
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.delta import Delta
from edgesim.aggregation.mix import Mix
from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.experiment import Outcome, execute, federation
from edgesim.parts import prepare
from edgesim.scenario import Experiment, resolve

TWO_DEVICES = """\
# Two devices, two rounds, every number chosen so that the timeline can be worked out by hand.
name: by-hand
model: {name: mlp, hidden: [1]}
dataset: digits
fleet:
  - {profile: raspberry-pi-4, count: 1, compute: {rate: 1 MFLOP/s},
     network: {downlink: 1 kB/s, uplink: 500 B/s, latency: 0.25 s}}
  - {profile: raspberry-pi-4, count: 1, compute: {seconds_per_step: 0.5 s},
     network: {downlink: 2 kB/s, uplink: 2 kB/s}}
coordination: {name: synchronous, clients_per_round: 2}
training: {epochs: 2, batch_size: 100}
stop: {rounds: 2}
"""

SMALL = """\
# A small federation with every source of chance switched on.
name: small
seed: 3
model: {name: mlp, hidden: [16]}
dataset: {name: digits, partition: {name: dirichlet, alpha: 0.5}}
fleet:
  - {profile: jetson-orin-nano, count: 4}
  - {profile: raspberry-pi-4, count: 4, network: lte, compute: {scale: 0.5, jitter: 0.3},
     straggler: {probability: 0.3, slowdown: {dist: lognormal, sigma: 0.5}}}
submodel: {name: fedpmt}
coordination: {name: deadline, clients_per_round: 4, deadline: 30 s, minimum_fraction: 0.5}
training: {epochs: 1, batch_size: 16, momentum: 0.5}
evaluate: {every: 2 s}
stop: {rounds: 6}
"""


def written(folder: Path, text: str, *overrides: str, seed: int | None = None) -> Experiment:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return resolve(open_document(str(path)), None, overrides, seed)


def ran(folder: Path, text: str, *overrides: str, timing_only: bool = False) -> Outcome:
    return execute(prepare(written(folder, text, *overrides)), timing_only=timing_only)


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)


def test_every_time_stamp_of_two_devices_and_two_rounds_is_as_worked_out_by_hand(tmp_path: Path) -> None:
    # 64-1-10: 65 + 20 = 85 parameters = 340 B both ways; digits has 1437 training samples: 719 and 718.
    # Forward 64 + 10 MACs, weight gradients the same, input gradient of the last layer 10: 158 MACs.
    samples = 719
    download_0, compute_0, upload_0 = 0.25 + 340 / 1000, 2 * samples * 316 / 1e6, 0.25 + 340 / 500
    steps_1 = 2 * 8  # 718 samples in batches of 100, twice
    download_1, compute_1, upload_1 = 340 / 2000, steps_1 * 0.5, 340 / 2000
    visit_0, visit_1 = download_0 + compute_0 + upload_0, download_1 + compute_1 + upload_1
    round_s = max(visit_0, visit_1)

    outcome = ran(tmp_path, TWO_DEVICES)

    rows = outcome.tables["dispatches"]
    by_device = {device: [i for i, d in enumerate(rows["device"]) if d == device] for device in (0, 1)}
    for device, phases in ((0, (download_0, compute_0, upload_0)), (1, (download_1, compute_1, upload_1))):
        for number, row in enumerate(by_device[device]):
            start = number * round_s
            expected = [start, *phases, start + sum(phases)]
            keys = ("dispatched_s", "download_s", "compute_s", "upload_s", "finished_s")
            assert [rows[key][row] for key in keys] == pytest.approx(expected, abs=1e-9)
    assert outcome.tables["aggregations"]["time_s"] == pytest.approx([round_s, 2 * round_s], abs=1e-9)
    assert outcome.tables["evaluations"]["time_s"] == pytest.approx([0, round_s, 2 * round_s], abs=1e-9)
    assert outcome.reason == "rounds"


def test_doubling_bytes_and_bandwidth_leaves_times_as_they_are(tmp_path: Path) -> None:
    double_bytes = ("model.hidden=[2]",)  # 64-2-10 has 160 parameters where 64-1-10 has 85
    factor = 160 / 85
    double_rates = (
        f"fleet[0].network.downlink={1000 * factor!r} B/s",
        f"fleet[0].network.uplink={500 * factor!r} B/s",
        f"fleet[1].network.downlink={2000 * factor!r} B/s",
        f"fleet[1].network.uplink={2000 * factor!r} B/s",
    )
    one = ran(tmp_path, TWO_DEVICES, timing_only=True).tables["dispatches"]
    other = ran(tmp_path, TWO_DEVICES, *double_bytes, *double_rates, timing_only=True).tables["dispatches"]
    assert other["bytes_up"] == [round(each * factor) for each in one["bytes_up"]]
    for phase in ("download_s", "upload_s"):
        assert other[phase] == pytest.approx(one[phase], rel=1e-12)


def test_the_same_scenario_and_seed_give_the_same_tables_and_weights_bit_for_bit(tmp_path: Path) -> None:
    one, other = ran(tmp_path, SMALL), ran(tmp_path, SMALL)
    assert same(one.tables, other.tables)
    assert one.weights is not None
    assert other.weights is not None
    assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_timing_only_gives_the_timeline_of_the_full_run_to_the_last_digit(tmp_path: Path) -> None:
    full, timing = ran(tmp_path, SMALL), ran(tmp_path, SMALL, timing_only=True)
    unlearned = {"train_loss"}
    assert all(
        same(column, timing.tables["dispatches"][name])
        for name, column in full.tables["dispatches"].items()
        if name not in unlearned
    )
    assert same(full.tables["aggregations"], timing.tables["aggregations"])
    assert same(full.tables["coverage"], timing.tables["coverage"])
    assert full.tables["evaluations"]["time_s"] == timing.tables["evaluations"]["time_s"]
    assert timing.weights is None


def test_the_timing_seed_changes_no_training_result_under_a_synchronous_policy(tmp_path: Path) -> None:
    synchronous = ("coordination={name: synchronous, clients_per_round: 8}", "evaluate.every=1 round")
    outcomes = [
        ran(tmp_path, SMALL, *synchronous, f"seed={{learning: 3, timing: {timing}}}", "submodel=full")
        for timing in (3, 4)
    ]
    one, other = (outcome.tables["evaluations"] for outcome in outcomes)
    assert one["accuracy"] == other["accuracy"]
    assert one["time_s"] != other["time_s"]


def test_fedpmt_at_full_depth_is_fedavg_bit_for_bit(tmp_path: Path) -> None:
    synchronous = "coordination={name: synchronous, clients_per_round: 4}"
    fedavg = ran(tmp_path, SMALL, synchronous, "submodel=full").weights
    fedpmt = ran(tmp_path, SMALL, synchronous, "submodel={name: fedpmt, depth: 2}").weights
    assert fedavg is not None
    assert fedpmt is not None
    assert all(np.array_equal(fedavg[name], fedpmt[name]) for name in fedavg)


def test_an_infinite_deadline_without_over_selection_is_synchronous(tmp_path: Path) -> None:
    deadline = ran(
        tmp_path,
        SMALL,
        "coordination={name: deadline, clients_per_round: 4, over_selection: 1, deadline: 1000000000 s}",
    )
    synchronous = ran(tmp_path, SMALL, "coordination={name: synchronous, clients_per_round: 4}")
    assert same(deadline.tables, synchronous.tables)


def test_what_does_not_fit_in_memory_is_out_of_memory_and_never_run(tmp_path: Path) -> None:
    small_board = ("fleet[1].profile=renesas-ek-ra8d1", "model=fedavg_cnn", "submodel=full", "stop.rounds=2")
    rows = ran(tmp_path, SMALL, *small_board, timing_only=True).tables["dispatches"]
    outcomes = {
        (profile, outcome)
        for profile, outcome in zip(rows["profile"], rows["outcome"], strict=True)
        if profile == "renesas-ek-ra8d1"
    }
    assert outcomes == {("renesas-ek-ra8d1", "out_of_memory")}


def test_a_depth_that_the_model_does_not_have_names_its_line(tmp_path: Path) -> None:
    text = TWO_DEVICES + "submodel:\n  name: fedpmt\n  depth: 3\n"
    with pytest.raises(InputError, match=r"scenario.yaml:15: submodel.depth: must be a whole number from 1"):
        prepare(written(tmp_path, text))


def test_a_capacity_that_the_method_does_not_have_is_refused_at_its_fleet_entry(tmp_path: Path) -> None:
    text = TWO_DEVICES.replace("latency: 0.25 s}}", "latency: 0.25 s}, capacity: 2}") + "submodel: heterofl\n"
    message = r"scenario.yaml:7: fleet\[0\].capacity: must be above 0 and at most 1, got 2"
    with pytest.raises(InputError, match=message):
        prepare(written(tmp_path, text))


def test_a_layer_that_no_device_trains_is_noted(tmp_path: Path) -> None:
    parts = prepare(written(tmp_path, TWO_DEVICES, "submodel={name: fedpmt, depth: 1}"))
    assert parts.notes == ("no device trains fc1: these layers keep their initial values",)


ONE_BY_ONE = "coordination={name: asynchronous, concurrency: 2}"
ALL_LATEST = "coordination={name: semi_asynchronous, reference: fastest}"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["submodel=full"], Covered(weights="samples")),
        (["submodel=heterofl"], Covered(weights="equal")),
        (["submodel=heterofl", ONE_BY_ONE], Mix(weights="equal")),
        (
            ["submodel=heterofl", ONE_BY_ONE, "aggregation={name: delta, staleness: poly}"],
            Delta(staleness=Poly()),
        ),
        (["submodel={name: fedgmr, density: 0.5}", ALL_LATEST, "growth=none"], Covered(staleness=Poly())),
    ],
)
def test_updates_are_merged_as_the_scenario_says_or_else_the_policy_or_else_the_submodel(
    tmp_path: Path, overrides: list[str], expected: Aggregator
) -> None:
    learner = federation(prepare(written(tmp_path, TWO_DEVICES, *overrides)))
    assert learner.aggregator == expected
    assert learner.ledger.keep_latest == (ALL_LATEST in overrides)


def test_timing_only_refuses_a_scenario_that_only_an_accuracy_can_stop(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stop.target: is the only stop"):
        ran(tmp_path, TWO_DEVICES, "stop.rounds=null", "stop.target={accuracy: 0.5}", timing_only=True)


MODEL_WITH_A_TABLE = """\
import torch

class Weighed(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.output = torch.nn.Linear(64, num_classes)
        self.register_buffer("table", torch.arange(64) / 64, persistent=False)

    def forward(self, x):
        return self.output(x.flatten(1) * self.table)
"""


def test_a_buffer_that_a_model_does_not_save_is_run_with_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "weighed_pixels.py").write_text(MODEL_WITH_A_TABLE)
    outcome = ran(tmp_path, TWO_DEVICES.replace("{name: mlp, hidden: [1]}", "weighed_pixels:Weighed"))
    assert outcome.weights is not None
    assert np.array_equal(outcome.weights["table"], np.arange(64) / 64)
