"""`cost: measured` in whole runs: whose seconds are charged, what the tables say of them, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgesim.campaign import compare_runs, run_one
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.learner import Order, Workload
from edgesim.parts import prepare
from edgesim.profiling.boards import write
from edgesim.results.run import RunResult
from edgesim.retiming import record
from edgesim.runs import retime_run
from edgesim.scenario import resolve
from edgesim.sensitivity import Timeline, scales, unscaled
from edgesim.task import Options

SCENARIO = """\
# One device that was timed, and one that was not.
name: half-timed
model: {name: mlp, hidden: [8]}
dataset: digits
fleet:
  - {profile: bench, count: 2, network: {uplink: 8 Mbit/s, downlink: 8 Mbit/s}}
  - {profile: raspberry-pi-4, count: 1, network: {uplink: 8 Mbit/s, downlink: 8 Mbit/s}}
submodel: full
coordination: {name: synchronous, clients_per_round: 3}
training: {batch_size: 16, learning_rate: 0.1}
stop: {rounds: 2}
cost: measured
"""
STEP_S = 0.25


def workload(file: Path) -> Workload:
    """Of the first visit of device 0, whose step is the one that was timed."""
    parts = prepare(resolve(open_document(str(file)), None, ("cost=analytic",)))
    return parts.ledger.fresh().assign([Order(0, 0, 0, 0, 0.0)])[0]


def bench(shape: str) -> DeviceProfile:
    """A board on which one kind of step was timed, and whose fit has all steps take 1 s."""
    data = Catalogue(environment={}).load("raspberry-pi-4").model_dump(mode="json", exclude_none=True)
    seconds = f"{STEP_S} s"
    data["title"] = "Bench"
    data["measured"] = {
        "source": "a test",
        "table": [
            {
                "shape": shape,
                "label": "full",
                "batch": 16,
                "seconds": seconds,
                "low": seconds,
                "high": seconds,
            }
        ],
        "fit": {"coefficients": {"step": 1.0}, "plain": {"step": 1.0}, "classes": [], "residual": 0.1},
    }
    return DeviceProfile.model_validate_json(json.dumps(data))


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scenario; its board is found from everywhere, as re-timing looks for it beside the run."""
    monkeypatch.setenv("EDGESIM_PROFILES", str(tmp_path / "profiles"))
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    write(bench("0" * 16), tmp_path / "profiles" / "bench.yaml")
    write(bench(workload(file).shape), tmp_path / "profiles" / "bench.yaml")
    return file


def ran(scenario: Path, *sets: str, **options: Any) -> tuple[Path, RunResult]:
    made = Options(scenario.parent / "runs", sets, quiet=True, overwrite=True, **options)
    return run_one(str(scenario), None, None, made)


def test_each_visit_says_how_its_seconds_are_known(scenario: Path) -> None:
    rows = ran(scenario, timing_only=True)[1].tables["dispatches"]
    assert rows.groupby("device")["cost_basis"].unique().map(list).to_dict() == {
        0: ["timed"], 1: ["timed"], 2: ["estimated"]
    }  # fmt: skip


def test_a_timed_visit_takes_its_steps_times_what_a_step_took(scenario: Path) -> None:
    steps = workload(scenario).steps
    rows = ran(scenario, timing_only=True)[1].tables["dispatches"]
    assert rows[rows["device"] == 0]["compute_s"].tolist() == pytest.approx([steps * STEP_S] * 2)


def test_another_sub_model_is_fitted(scenario: Path) -> None:
    steps = workload(scenario).steps
    rows = ran(scenario, "fleet[0].capacity=0.5", "submodel=heterofl", timing_only=True)[1].tables[
        "dispatches"
    ]
    timed = rows[rows["device"] == 0]
    assert set(timed["cost_basis"]) == {"fitted"}
    assert timed["compute_s"].tolist() == pytest.approx([steps * 1.0] * 2)


def test_analytic_seconds_are_the_rule_unless_measured_ones_are_asked_for(scenario: Path) -> None:
    rows = ran(scenario, "cost=analytic", timing_only=True)[1].tables["dispatches"]
    assert set(rows["cost_basis"]) == {"estimated"}


def test_a_device_that_was_not_timed_is_noted_or_refused_as_asked(scenario: Path) -> None:
    notes = ran(scenario, timing_only=True)[1].summary["warnings"]
    assert any("raspberry-pi-4: no training steps were timed" in note for note in notes)
    with pytest.raises(InputError, match=r'fleet\[1\]: of "raspberry-pi-4" no training steps were timed'):
        ran(scenario, "cost={name: measured, otherwise: error}", timing_only=True)


def test_a_fleet_of_which_nothing_was_timed_is_refused_in_any_case(scenario: Path) -> None:
    with pytest.raises(
        InputError, match=r"cost: is measured, and of no device of the fleet .*edgesim profile"
    ):
        ran(scenario, "fleet[0].profile=pixel-6", timing_only=True)


def test_a_scaled_device_is_slower_and_the_summary_says_that_none_was_timed(scenario: Path) -> None:
    steps = workload(scenario).steps
    result = ran(scenario, "fleet[0].compute={scale: 0.125}", timing_only=True)[1]
    rows = result.tables["dispatches"]
    assert rows[rows["device"] == 0]["compute_s"].tolist() == pytest.approx([8 * steps * STEP_S] * 2)
    assert any(
        "bench: its seconds are those timed divided by the scale 0.125" in note
        for note in result.summary["warnings"]
    )


def test_re_timing_takes_what_was_timed(scenario: Path, tmp_path: Path) -> None:
    path, before = ran(scenario)
    again = retime_run(path, Options(tmp_path / "retimed"))[1]
    assert again.tables["dispatches"].equals(before.tables["dispatches"])
    slower = retime_run(path, Options(tmp_path / "slower", ("fleet[0].compute={scale: 0.5}",)))[1]
    both = [
        result.tables["dispatches"].query("device == 0")["compute_s"].to_numpy()
        for result in (before, slower)
    ]
    assert both[1] == pytest.approx(2 * both[0])


def test_sensitivity_draws_timed_seconds_within_what_the_fit_misses(scenario: Path) -> None:
    path, result = ran(scenario)
    recording = record(path)
    groups = recording.experiment.scenario.fleet
    drawn = [scales(groups, Catalogue(), number, timed=True) for number in range(40)]
    factors = [each.step_overhead[0] for each in drawn]
    assert 1 / 1.2 <= min(factors) < 1 < max(factors) <= 1.2  # twice the residual
    assert all(each.rate[0] * each.step_overhead[0] == pytest.approx(1) for each in drawn)
    timeline = Timeline.of(recording, to_target=False)
    assert timeline.seconds(unscaled(len(groups))) == pytest.approx(result.summary["virtual_s"])


def test_a_comparison_under_measured_seconds_says_how_often_its_ranking_stays(scenario: Path) -> None:
    path, _ = ran(scenario)
    found = compare_runs([path], Options(Path("unused"), sensitivity=5)).sensitivity
    assert found is not None
    assert (found.draws, found.stays) == (5, 1.0)


@pytest.mark.parametrize("variant", ["fedavg", "fedpmt", "heterofl"])
def test_every_step_of_the_shipped_scenario_was_timed_on_its_machine(variant: str, tmp_path: Path) -> None:
    """Where this fails, shapes have changed: time them again, by the README's commands."""
    options = Options(tmp_path, ("stop.rounds=4",), timing_only=True, quiet=True)
    _, result = run_one("onnx-measured", variant, None, options)
    assert set(result.tables["dispatches"]["cost_basis"]) == {"timed"}
