"""Re-timing: the same training at another pace; and how sure a ranking is within the profiles' ranges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edgesim.campaign import compare_runs, run_one
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.reports.comparison import render, to_json
from edgesim.results.run import RunResult
from edgesim.results.summary import seconds_to_target
from edgesim.results.tables import frame
from edgesim.retiming import Recording, record, replay, rescheduled
from edgesim.runs import retime_run
from edgesim.sensitivity import Scales, Timeline, assess, scales, unscaled
from edgesim.task import Options

BY_HAND = """\
# Two devices that compute and transfer in round numbers of seconds.
name: by-hand
model: {name: mlp, hidden: [1]}
dataset: digits
fleet:
  - {profile: raspberry-pi-4, count: 1, compute: {seconds_per_step: 0.5 s},
     network: {downlink: 340 B/s, uplink: 170 B/s}}
  - {profile: raspberry-pi-4, count: 1, compute: {seconds_per_step: 0.25 s},
     network: {downlink: 340 B/s, uplink: 170 B/s}}
coordination: {name: synchronous, clients_per_round: 2}
training: {batch_size: 100}
stop: {rounds: 2}
"""

LIVELY = """\
# Every source of chance in time, capacities that are fitted, and a target that is reached on the way.
name: lively
seed: 3
model: {name: mlp, hidden: [16]}
dataset: digits
fleet:
  - {profile: jetson-orin-nano, count: 4}
  - {profile: raspberry-pi-4, count: 4, network: lte, compute: {scale: 0.5, jitter: 0.3},
     straggler: {probability: 0.3, slowdown: {dist: lognormal, sigma: 0.5}}}
  - {profile: pixel-6, count: 2, compute: {rate: 1 GFLOP/s}, network: {downlink: 9 Mbit/s, uplink: 1 Mbit/s}}
submodel: fedpmt
coordination: {name: synchronous, clients_per_round: 4}
training: {batch_size: 16, learning_rate: 0.1, momentum: 0.5}
stop: {rounds: 5, time: 1 h, target: {accuracy: 0.7}}
variants:
  fedavg: {submodel: full}
  fedpmt: {submodel: fedpmt}
"""


def ran(folder: Path, text: str, *sets: str, variant: str | None = None, **options: Any) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(text)
    made = Options(folder / "runs", sets, quiet=True, overwrite=True, **options)
    return run_one(str(file), variant, None, made)[0]


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lively")
    return {variant: ran(folder, LIVELY, variant=variant) for variant in ("fedavg", "fedpmt")}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("by_hand"), BY_HAND)


def retimed(run: Path, folder: Path, *sets: str) -> RunResult:
    return retime_run(run, Options(folder / "retimed", sets))[1]


def refusal(run: Path, folder: Path, *sets: str) -> str:
    with pytest.raises(InputError) as caught:
        retimed(run, folder, *sets)
    assert not (folder / "retimed").exists()
    return str(caught.value)


@pytest.mark.parametrize("variant", ["fedavg", "fedpmt"])
def test_without_a_change_every_table_and_weight_comes_out_as_it_was(
    lively: dict[str, Path], variant: str, tmp_path: Path
) -> None:
    before, after = record(lively[variant]).result, retimed(lively[variant], tmp_path)
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(table, after.tables[name], check_exact=True)
    assert before.weights is not None
    assert after.weights is not None
    assert all(np.array_equal(value, after.weights[name]) for name, value in before.weights.items())
    warnings = ["re-timed: sub-models, weights and metrics are those of the run as it was trained"]
    warnings += before.summary["warnings"]
    assert {**before.summary, "warnings": warnings, "wall_s": 0} == {**after.summary, "wall_s": 0}


def test_a_run_without_training_can_be_re_timed(tmp_path: Path) -> None:
    run = ran(tmp_path, BY_HAND, timing_only=True)
    after = retimed(run, tmp_path, "fleet[0].compute.seconds_per_step=1 s")
    assert after.weights is None
    assert after.summary["virtual_s"] == pytest.approx(2 * (1 + 8 + 2), rel=1e-12)


def test_a_change_of_pace_is_as_worked_out_by_hand(by_hand: Path, tmp_path: Path) -> None:
    # 85 parameters are 340 B; 719 and 718 samples in batches of 100 make 8 steps.
    before = record(by_hand).result
    assert before.summary["virtual_s"] == pytest.approx(2 * (1 + 8 * 0.5 + 2), rel=1e-12)
    after = retimed(
        by_hand, tmp_path, "fleet[1].compute.seconds_per_step=1 s", "fleet[1].network.uplink=85 B/s"
    )
    assert list(after.tables["aggregations"]["time_s"]) == pytest.approx([1 + 8 + 4, 26], rel=1e-12)
    dispatches = after.tables["dispatches"]
    expected_s = dispatches["device"].map({0: 4.0, 1: 8.0})
    assert list(dispatches["compute_s"]) == pytest.approx(list(expected_s), rel=1e-12)


def test_metrics_losses_bytes_and_weights_do_not_feel_the_pace(
    lively: dict[str, Path], tmp_path: Path
) -> None:
    run = lively["fedpmt"]
    before = record(run).result
    after = retimed(run, tmp_path, "fleet[0].profile=raspberry-pi-3", "fleet[1].compute.scale=0.1")
    assert after.summary["virtual_s"] > before.summary["virtual_s"]
    for name in ("dispatches", "aggregations", "evaluations", "coverage"):
        one, other = before.tables[name], after.tables[name]
        of_time = [key for key in one if key.endswith(("_s", "_j")) or key in ("profile", "cost_basis")]
        pd.testing.assert_frame_equal(one.drop(columns=of_time), other.drop(columns=of_time))
    assert after.weights is not None
    assert before.weights is not None
    assert all(np.array_equal(value, after.weights[name]) for name, value in before.weights.items())


def test_twice_the_rate_and_half_the_overhead_halve_what_is_computed(
    lively: dict[str, Path], tmp_path: Path
) -> None:
    run = lively["fedavg"]
    before = record(run).result.tables["dispatches"]
    after = retimed(run, tmp_path, "fleet[1].compute.scale=1").tables["dispatches"]
    mine = (before["profile"] == "raspberry-pi-4").to_numpy()
    assert after["compute_s"][mine].to_numpy() == pytest.approx(before["compute_s"][mine] / 2, rel=1e-12)
    assert (after["compute_s"][~mine] == before["compute_s"][~mine]).all()
    assert (after["upload_s"] == before["upload_s"]).all()


def test_slower_devices_are_not_cut_off_by_the_time_limit(lively: dict[str, Path], tmp_path: Path) -> None:
    after = retimed(lively["fedavg"], tmp_path, "fleet[2].compute.rate=0.0000001 GFLOP/s")
    assert after.summary["virtual_s"] > 3600
    assert after.summary["reason"] in ("target", "rounds")


def test_the_manifest_says_from_which_run_it_is_and_names_no_folder(by_hand: Path, tmp_path: Path) -> None:
    after = retimed(by_hand, tmp_path, "fleet[0].compute.seconds_per_step=1 s")
    origin = after.manifest["retimed_from"]
    assert origin["set"] == ["fleet[0].compute.seconds_per_step=1 s"]
    assert len(origin["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(after.manifest)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("training.learning_rate=0.2", "training"),
        ("fleet[0].count=2", "fleet[0].count"),
        ("fleet[1].capacity=1", "fleet[1].capacity"),
        ("fleet[1].availability={name: markov, on: 1 h, off: 1 h}", "fleet[1].availability"),
        ("fleet[1].failures=1 / h", "fleet[1].failures"),
        ("fleet[1].battery={capacity: 15 Wh}", "fleet[1].battery"),
        ("seed=9", "seed.learning"),
        ("coordination.clients_per_round=1", "coordination"),
        ("submodel={name: fedpmt, depth: 1}", "submodel"),
        ("stop.rounds=1", "stop"),
    ],
)
def test_a_change_of_learning_is_refused_by_its_key(
    by_hand: Path, tmp_path: Path, change: str, key: str
) -> None:
    assert refusal(by_hand, tmp_path, change).startswith(f"{key}: changes what is learnt; re-timing changes")


def test_a_policy_that_merges_by_arrival_is_refused(tmp_path: Path) -> None:
    run = ran(tmp_path, BY_HAND, "coordination={name: deadline, clients_per_round: 2, deadline: 1 h}")
    told = refusal(run, tmp_path)
    assert (
        told == f'{run}: coordination: "deadline" merges by arrival: at another pace other weights come out'
    )


def test_a_run_that_its_time_limit_ended_is_refused(tmp_path: Path) -> None:
    told = refusal(ran(tmp_path, BY_HAND, "stop.time=10 s"), tmp_path)
    assert "the run ended by time, at another pace at another version" in told


def test_evaluations_by_time_are_refused_where_versions_are_missing(tmp_path: Path) -> None:
    told = refusal(ran(tmp_path, BY_HAND, "evaluate.every=1 h"), tmp_path)
    assert "evaluate.every: is by time, and only 2 of 3 versions were evaluated" in told
    assert "run it with evaluate.every: 1 round" in told


def test_evaluations_by_time_follow_the_new_times(tmp_path: Path) -> None:
    run = ran(tmp_path, BY_HAND, "evaluate.every=2 s")
    before = record(run).result.tables["evaluations"]
    after = retimed(run, tmp_path, "fleet[0].compute.seconds_per_step=1 s").tables["evaluations"]
    assert list(after["time_s"]) == [*np.arange(0, 22, 2), 22]
    accuracies = before.groupby("version")["accuracy"].first()
    assert (accuracies[after["version"]].to_numpy() == after["accuracy"]).all()


def test_a_device_without_the_memory_is_refused_by_its_profile(
    tmp_path: Path,
) -> None:
    run = ran(tmp_path, LIVELY.replace("hidden: [16]", "hidden: [2000]"), "stop.rounds=1", variant="fedavg")
    told = refusal(run, tmp_path, *(f"fleet[{n}].profile=renesas-ek-ra8d1" for n in range(3)))
    assert "was merged in the run, but does not fit in the 1.049 MB of renesas-ek-ra8d1" in told


def test_another_timing_seed_is_refused_where_it_chooses_other_devices(
    lively: dict[str, Path], tmp_path: Path
) -> None:
    assert "the selection draws by seed.timing" in refusal(lively["fedavg"], tmp_path, "seed.timing=4")


def test_another_timing_seed_draws_other_times_where_everyone_takes_part(tmp_path: Path) -> None:
    run = ran(tmp_path, BY_HAND, "selection=all", "fleet[0].compute.jitter=0.5")
    before = record(run).result
    after = retimed(run, tmp_path, "seed.timing=4")
    assert after.summary["virtual_s"] != before.summary["virtual_s"]
    assert after.summary["final"]["accuracy"] == before.summary["final"]["accuracy"]


def test_a_re_timed_run_is_not_re_timed_again(by_hand: Path, tmp_path: Path) -> None:
    once, _ = retime_run(by_hand, Options(tmp_path / "once"))
    assert "is re-timed itself" in refusal(once, tmp_path)


# --------------------------------------------------------------------------------------------- sensitivity


def folded_s(recording: Recording, by: Scales, target: bool) -> float | None:
    """Seconds by folding the whole run on a fleet with scaled figures."""
    _, parts = rescheduled(recording, ())
    fleet = parts.fleet
    group = fleet.group
    scaled = replace(
        fleet,
        rate_flops=fleet.rate_flops * by.rate[group],
        step_overhead_s=fleet.step_overhead_s * by.step_overhead[group],
        downlink_bps=fleet.downlink_bps * by.downlink[group],
        uplink_bps=fleet.uplink_bps * by.uplink[group],
        latency_s=fleet.latency_s * by.latency[group],
    )
    outcome = replay(
        recording, replace(parts, world=replace(parts.world, cost=CostModel(scaled, parts.cost.streams)))
    )
    evaluations = frame("evaluations", outcome.tables["evaluations"])
    return seconds_to_target(evaluations, "accuracy", 0.7) if target else float(evaluations["time_s"].max())


@pytest.mark.parametrize("variant", ["fedavg", "fedpmt"])
@pytest.mark.parametrize("to_target", [False, True])
def test_the_short_way_gives_the_seconds_of_the_whole_fold(
    lively: dict[str, Path], variant: str, to_target: bool
) -> None:
    recording = record(lively[variant])
    timeline = Timeline.of(recording, to_target)
    groups = recording.experiment.scenario.fleet
    for by in (unscaled(3), *(scales(groups, recording.experiment.catalogue, draw) for draw in range(5))):
        whole = folded_s(recording, by, to_target)
        assert timeline.seconds(by) == pytest.approx(np.inf if whole is None else whole, rel=1e-9)


def test_the_short_way_knows_visits_that_end_after_the_download(tmp_path: Path) -> None:
    small = LIVELY.replace("profile: jetson-orin-nano, count: 4", "profile: renesas-ek-ra8d1, count: 4")
    run = ran(tmp_path, small.replace("hidden: [16]", "hidden: [2000]"), "stop.rounds=3", variant="fedavg")
    recording = record(run)
    assert recording.result.summary["outcomes"]["out_of_memory"] > 0
    timeline = Timeline.of(recording, to_target=False)
    for draw in range(3):
        by = scales(recording.experiment.scenario.fleet, recording.experiment.catalogue, draw)
        assert timeline.seconds(by) == pytest.approx(folded_s(recording, by, target=False), rel=1e-9)


def test_factors_keep_figures_within_their_ranges_and_are_common_to_a_profile(
    lively: dict[str, Path],
) -> None:
    groups, catalogue = record(lively["fedavg"]).experiment.scenario.fleet, Catalogue()
    rate = catalogue.load("jetson-orin-nano").compute.rate
    uplink = catalogue.network("lte").origin.uplink
    for draw in range(50):
        by = scales(groups, catalogue, draw)
        assert rate.low * 0.999 <= by.rate[0] * rate.value <= rate.high * 1.001
        assert uplink.low * 0.999 <= by.uplink[1] * 31.2e6 <= uplink.high * 1.001
        assert (by.rate[2], by.step_overhead[2], by.downlink[2]) == (1, 1, 1)
        again = scales([groups[1], groups[0]], catalogue, draw)
        assert (again.rate[1], again.rate[0]) == (by.rate[0], by.rate[1])


def test_a_population_is_scaled_as_one_within_the_range_of_its_median() -> None:
    catalogue = Catalogue()
    rate = catalogue.population("phones-2023").compute.rate
    group = FleetGroup(population="phones-2023", count=2)
    factors = [scales([group], catalogue, draw).rate[0] for draw in range(50)]
    assert rate.low * 0.999 <= min(factors) * rate.median <= max(factors) * rate.median <= rate.high * 1.001


def test_where_nothing_has_a_range_the_ranking_always_stays(by_hand: Path, tmp_path: Path) -> None:
    slow = ran(tmp_path, BY_HAND, "fleet[0].compute.seconds_per_step=2 s")
    found = assess([("slow", record(slow)), ("fast", record(by_hand))], 20, to_target=False)
    assert found.ranking == ("fast", "slow")
    assert (found.stays, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson at n of n
    assert found.first == {"slow": 0.0, "fast": 1.0}
    assert found.fixed == ("compute of raspberry-pi-4", "network of raspberry-pi-4")


def test_a_comparison_says_how_often_its_ranking_stays(lively: dict[str, Path]) -> None:
    comparison = compare_runs(list(lively.values()), Options(Path("unused"), sensitivity=40))
    found = to_json(comparison)["sensitivity"]
    assert found["draws"] == 40
    assert set(found["first"]) | set(found["unranked"]) == {"fedavg", "fedpmt"}
    assert "drawn 40 times within their ranges" in render(comparison, width=400)
    json.dumps(found, allow_nan=False)


def test_variants_that_never_arrive_have_no_rank(tmp_path: Path) -> None:
    never = ran(tmp_path, LIVELY, "stop.target.accuracy=0.999", "stop.rounds=1", variant="fedavg")
    found = assess([("never", record(never))], 3, to_target=True)
    assert (found.ranking, found.unranked, found.stays) == ((), ("never",), None)


def test_evaluations_by_time_have_no_sensitivity(tmp_path: Path) -> None:
    run = ran(tmp_path, BY_HAND, "evaluate.every=2 s")
    with pytest.raises(InputError, match="which version is evaluated differs from draw to draw"):
        assess([("one", record(run))], 3, to_target=False)
