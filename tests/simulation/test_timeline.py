"""Virtual time, worked by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from edgesim.coordination.synchronous import Synchronous
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet
from edgesim.errors import RunFailed
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.server.events import Arrived, Begin, DriverEvent
from edgesim.server.plan import EvaluationPlan
from tests.fakes import Recording, TabledCost, computing, simulate

EXACT = 1e-9


def by_hand(device: int, visit: int) -> tuple[float, float, float]:
    """Device 0: 0.1 + 1 + 0.2 s, then 0.1 + 2 + 0.2 s. Device 1: 0.3 + 0.5 + 0.6 s both times."""
    return (0.1, 1.0 + visit, 0.2) if device == 0 else (0.3, 0.5, 0.6)


def test_two_devices_and_two_rounds_by_hand() -> None:
    run = simulate(TabledCost(by_hand), devices=2, selector=All(), rounds=2)
    # Round 0 from 0: device 0 ends at 1.3, device 1 at 1.4. Round 1 from 1.4: they end at 3.7 and at 2.8.
    expected = [
        (0, 0, 0, 0, 0.0, 0.1, 1.0, 0.2, 1.3),
        (1, 1, 0, 0, 0.0, 0.3, 0.5, 0.6, 1.4),
        (2, 0, 1, 1, 1.4, 0.1, 2.0, 0.2, 3.7),
        (3, 1, 1, 1, 1.4, 0.3, 0.5, 0.6, 2.8),
    ]
    columns = ("dispatch", "device", "visit", "base_version", "dispatched_s")
    rows = run.visits(*columns, "download_s", "compute_s", "upload_s", "finished_s")
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, abs=EXACT)
    assert run.column("outcome") == ["aggregated"] * 4
    assert run.column("staleness") == [0] * 4
    assert run.column("energy_j") == pytest.approx([2.6, 2.8, 4.6, 2.8])  # 2 W
    assert run.column("train_loss") == [None] * 4
    assert run.tables.aggregations["time_s"] == pytest.approx([1.4, 3.7], abs=EXACT)
    assert run.tables.aggregations["version"] == [1, 2]
    assert run.tables.aggregations["updates"] == [2, 2]
    assert run.tables.aggregations["mean_staleness"] == [0.0, 0.0]


def test_two_devices_and_two_rounds_by_hand_on_a_real_fleet() -> None:
    # 1 MB down, 0.5 MB up, 10 steps, 3 MFLOP.
    # Device 0: 8 Mbit/s down, 4 up, latency 0.05 s, 1 MFLOP/s, 0.1 s per step: 1.05 + 4 + 1.05 = 6.1 s.
    # Device 1: 16 Mbit/s down, 2 up, no latency, 0.5 MFLOP/s, nothing per step: 0.5 + 6 + 2 = 8.5 s.
    fleet = _fleet(
        downlink_bps=(8e6, 16e6),
        uplink_bps=(4e6, 2e6),
        latency_s=(0.05, 0.0),
        rate_flops=(1e6, 0.5e6),
        step_overhead_s=(0.1, 0.0),
    )
    run = simulate(CostModel(fleet, Streams(1)), devices=len(fleet), selector=All(), rounds=2)
    expected = [
        (0, 0.0, 1.05, 4.0, 1.05, 6.1),
        (1, 0.0, 0.5, 6.0, 2.0, 8.5),
        (0, 8.5, 1.05, 4.0, 1.05, 14.6),
        (1, 8.5, 0.5, 6.0, 2.0, 17.0),
    ]
    rows = run.visits("device", "dispatched_s", "download_s", "compute_s", "upload_s", "finished_s")
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, abs=EXACT)
    assert run.tables.aggregations["time_s"] == pytest.approx([8.5, 17.0], abs=EXACT)
    assert run.column("energy_j") == [None] * 4
    assert run.column("cost_basis") == ["measured"] * 4


def _fleet(**columns: tuple[float, float]) -> Fleet:
    zero, unknown = np.zeros(2), np.full(2, np.nan)
    return Fleet(
        group=np.zeros(2, dtype=np.int32),
        compute_jitter=zero,
        network_jitter=zero,
        memory_bytes=np.full(2, 1e9),
        idle_w=unknown,
        active_w=unknown,
        radio_down_w=unknown,
        radio_up_w=unknown,
        radio_down_j_per_bit=unknown,
        radio_up_j_per_bit=unknown,
        capacity=unknown,
        profiles=("bench",),
        stragglers=(None,),
        loads=(None,),
        throttlings=(None,),
        bases=("measured",),
        work_scale=np.ones(2),
        measured=(None,),
        **{name: np.array(values) for name, values in columns.items()},
    )


def test_the_tables_have_the_columns_of_the_design() -> None:
    run = simulate(computing(1.0), devices=1)
    assert " ".join(run.tables.dispatches) == (
        "dispatch device visit profile submodel density kept base_version staleness dispatched_s "
        "download_s compute_s upload_s paused_s finished_s outcome bytes_down bytes_up train_flops energy_j "
        "train_loss cost_basis"
    )
    labels = run.visits("profile", "submodel", "density", "cost_basis")
    assert labels == [("profile-0", "full", 1.0, "tabled")]
    assert run.visits("bytes_down", "bytes_up", "train_flops") == [(1_000_000, 500_000, 3_000_000)]
    assert " ".join(run.tables.aggregations) == (
        "time_s version updates mean_staleness mean_density mean_kept covered_fraction"
    )
    assert " ".join(run.tables.evaluations) == "time_s version loss accuracy"


def test_what_does_not_fit_is_lost_after_its_download() -> None:
    cost = TabledCost(lambda device, visit: (0.5, 8.0, 1.0), too_small=frozenset({1}))  # noqa: ARG005
    run = simulate(cost, devices=2, selector=All())
    columns = (
        "outcome",
        "download_s",
        "compute_s",
        "upload_s",
        "finished_s",
        "bytes_down",
        "bytes_up",
        "energy_j",
    )
    assert run.visits(*columns) == [
        ("aggregated", 0.5, 8.0, 1.0, 9.5, 1_000_000, 500_000, 19.0),
        ("out_of_memory", 0.5, None, None, 0.5, 1_000_000, 0, 1.0),
    ]
    assert run.column("train_flops") == [3_000_000, 0]
    assert run.column("staleness") == [0, None]


def test_an_unfinished_visit_tells_the_phases_that_it_completed() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 4.0, 1.0))  # noqa: ARG005
    run = simulate(cost, devices=1, time_s=3.0)
    columns = (
        "outcome",
        "download_s",
        "compute_s",
        "upload_s",
        "finished_s",
        "bytes_down",
        "bytes_up",
        "energy_j",
    )
    assert run.visits(*columns) == [("unfinished", 1.0, None, None, None, 1_000_000, 0, 6.0)]
    assert run.column("train_flops") == [0]


def test_a_phase_that_ends_with_the_run_is_completed() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 4.0, 1.0))  # noqa: ARG005
    run = simulate(cost, devices=1, time_s=5.0)
    assert run.visits("download_s", "compute_s", "upload_s") == [(1.0, 4.0, None)]


def test_energy_that_is_not_known_is_null_and_never_zero() -> None:
    run = simulate(TabledCost(by_hand, watts=math.nan), devices=2)
    assert run.column("energy_j") == [None, None]


def test_reports_of_one_instant_come_in_dispatch_order() -> None:
    # All of them end at 1 s, by different phases whose sums are exact in binary.
    thirds = [(0.25, 0.25, 0.5), (0.5, 0.25, 0.25), (0.0, 0.875, 0.125), (1.0, 0.0, 0.0)]
    policy = Recording(Synchronous(clients_per_round=4))
    run = simulate(TabledCost(lambda device, visit: thirds[device]), devices=4, policy=policy)  # noqa: ARG005
    assert run.column("finished_s") == [1.0] * 4
    assert [event.dispatch for _, event in policy.heard if isinstance(event, Arrived)] == [0, 1, 2, 3]


def test_a_report_at_the_instant_of_an_evaluation_or_of_the_time_limit_comes_before_it() -> None:
    run = simulate(computing(1.0), devices=1, evaluation=EvaluationPlan(every_s=2.0), time_s=4.0)
    assert run.tables.evaluations["time_s"] == [0.0, 2.0, 4.0]
    assert run.tables.evaluations["version"] == [0, 2, 4]
    assert run.column("outcome") == ["aggregated"] * 4 + ["unfinished"]


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(RunFailed, match="device 0: dispatch 0 would end at"):
        simulate(computing(seconds), devices=1)


def test_the_same_seed_gives_the_same_run_and_another_gives_another() -> None:
    def devices(seed: int) -> list[int]:
        policy = Synchronous(clients_per_round=5)
        return simulate(computing(*range(1, 31)), devices=30, policy=policy, seed=seed, rounds=20).column(
            "device"
        )

    assert devices(1) == devices(1)
    assert devices(1) != devices(2)


def test_twice_the_same_run_is_equal_to_the_last_digit() -> None:
    def tables() -> object:
        cost = TabledCost(lambda device, visit: (0.1 * device, 1 / (1 + visit), 0.3))
        policy = Synchronous(clients_per_round=3)
        return simulate(cost, devices=9, policy=policy, rounds=15).tables

    assert tables() == tables()


def test_other_durations_leave_who_is_sent_out_in_synchronous_rounds_as_it_was() -> None:
    policy = Synchronous(clients_per_round=3)
    slow = simulate(computing(*[2.0] * 9), devices=9, policy=policy, rounds=10)
    jittered = simulate(
        TabledCost(lambda device, visit: (0.1, 1.0 + device * visit, 0.1)),
        devices=9,
        policy=policy,
        rounds=10,
    )
    assert slow.visits("device", "visit") == jittered.visits("device", "visit")


def test_the_observer_hears_every_event_with_its_time() -> None:
    heard: list[tuple[float, type]] = []

    def observe(time_s: float, event: DriverEvent) -> None:
        heard.append((time_s, type(event)))

    simulate(computing(1.5), devices=1, rounds=2, observer=observe)
    assert heard == [(0.0, Begin), (1.5, Arrived), (3.0, Arrived)]


def test_the_timing_half_imports_no_torch() -> None:
    code = "import sys, edgesim.simulation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
