"""Semi-asynchronous rounds, case by case; device 0 is the reference unless it is said otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.coordination._reference import FastestShare, OfProfile, reference_devices
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.selection.all import All
from edgesim.server.roster import Roster
from tests.fakes import Run, Shifts, TabledCost, computing, one_entry_each, simulate

ARRIVALS = SemiAsynchronous(grace=0.5, buffer_mode="arrivals")


def merges(run: Run) -> list[tuple[float, int]]:
    table = run.tables.aggregations
    return list(zip(table["time_s"], table["updates"], strict=True))


def test_a_round_closes_a_grace_after_its_reference_with_whatever_has_arrived_by_then() -> None:
    run = simulate(computing(2.0, 3.0, 7.0), devices=3, policy=ARRIVALS, rounds=3)
    assert merges(run) == [(2.5, 1), (5.0, 2), (7.5, 2)]
    assert run.visits("device", "dispatched_s", "finished_s", "staleness") == [
        (0, 0.0, 2.0, 0),
        (1, 0.0, 3.0, 1),
        (2, 0.0, 7.0, 2),
        (0, 2.5, 4.5, 0),
        (0, 5.0, 7.0, 0),
        (1, 5.0, None, None),
    ]


def test_an_arrival_at_the_very_end_of_the_grace_is_in_time() -> None:
    run = simulate(computing(2.0, 2.5), devices=2, policy=ARRIVALS)
    assert merges(run) == [(2.5, 2)]


def test_new_models_leave_a_gap_after_the_aggregation() -> None:
    policy = SemiAsynchronous(grace=0.5, dispatch_gap=0.25)
    run = simulate(computing(2.0), devices=1, policy=policy, rounds=3)
    assert run.column("dispatched_s") == [0.0, 2.75, 5.5]
    assert run.tables.aggregations["time_s"] == [2.5, 5.25, 8.0]


def test_who_delivers_in_the_gap_gets_no_new_model_before_its_update_is_merged() -> None:
    policy = SemiAsynchronous(grace=0.5, dispatch_gap=1.0)
    run = simulate(computing(2.0, 3.0), devices=2, policy=policy, rounds=3)
    # Device 1 arrives at 3.0, between the aggregation at 2.5 and the dispatches at 3.5.
    assert [row for row in run.visits("device", "dispatched_s", "staleness") if row[0] == 1] == [
        (1, 0.0, 1),
        (1, 7.0, None),
    ]


def test_a_reference_device_that_is_lost_counts_as_done() -> None:
    entry_of = np.array([0, 0, 1], dtype=np.int32)
    roster = replace(one_entry_each(3), group=entry_of)
    cost = TabledCost(lambda device, visit: (0.5, 1.0 + device, 0.0), too_small=frozenset({1}))  # noqa: ARG005
    run = simulate(cost, devices=3, roster=roster, policy=ARRIVALS, rounds=2)
    assert merges(run) == [(2.0, 1), (4.0, 2)]


def test_a_round_whose_reference_is_lost_without_any_arrival_is_abandoned() -> None:
    cost = TabledCost(lambda device, visit: (0.5, 9.0, 0.0), too_small=frozenset({0}))  # noqa: ARG005
    run = simulate(cost, devices=2, policy=ARRIVALS, rounds=2)
    assert merges(run) == []
    assert run.column("dispatched_s") == [0.0, 0.0, 1.0]


def test_without_a_reference_device_present_the_others_work_and_the_round_waits_for_one() -> None:
    there = Shifts(on_s=100.0, period_s=200.0, delay_s=[3.0, 0.0])
    run = simulate(computing(2.0, 1.0), devices=2, policy=ARRIVALS, presence=there, rounds=2)
    assert merges(run) == [(5.5, 2), (8.0, 2)]
    assert run.visits("device", "dispatched_s") == [(1, 0.0), (0, 3.0), (0, 5.5), (1, 5.5)]


def test_where_no_reference_device_ever_comes_a_round_closes_with_the_last_of_the_others() -> None:
    there = Shifts(on_s=100.0, period_s=200.0, delay_s=[math.inf, 0.0, 0.0])
    run = simulate(computing(2.0, 1.0, 4.0), devices=3, policy=ARRIVALS, presence=there, rounds=2)
    assert merges(run) == [(4.0, 2), (8.0, 2)]


def test_with_everybody_as_reference_and_no_grace_it_is_synchronous() -> None:
    def seconds(device: int, visit: int) -> tuple[float, float, float]:
        return 0.25, 1.0 + (7 * device + 3 * visit) % 5, 0.5

    policy = SemiAsynchronous(reference=FastestShare(fraction=1.0), grace=0.0)
    cost = TabledCost(seconds, too_small=frozenset({3}))
    semi = simulate(cost, devices=6, policy=policy, rounds=10)
    waiting = simulate(cost, devices=6, policy=Synchronous(clients_per_round=6), selector=All(), rounds=10)
    assert semi.tables == waiting.tables


@given(st.lists(st.integers(1, 60).map(lambda n: n / 4), min_size=5, max_size=5), st.integers(0, 8))
def test_every_update_that_arrives_is_merged_once_at_the_next_aggregation(
    seconds: list[float], gap: int
) -> None:
    policy = SemiAsynchronous(grace=0.5, dispatch_gap=gap / 4, buffer_mode="arrivals")
    run = simulate(computing(*seconds), devices=5, policy=policy, dispatches=40)
    times_s = run.tables.aggregations["time_s"]
    assert set(run.column("outcome")) == {"aggregated"}
    for finished_s, base_version, staleness in run.visits("finished_s", "base_version", "staleness"):
        assert staleness is not None
        assert times_s[base_version + staleness] == min(t for t in times_s if t >= finished_s)


@pytest.mark.parametrize(("gap_s", "round_s"), [(0.0, 8.8), (0.5, 9.3)])
def test_rounds_and_staleness_of_fedgmr_s_slow_links_are_those_of_the_paper_s_constants(
    gap_s: float, round_s: float
) -> None:
    """FEMNIST, high heterogeneity (algorithms 3.7): model 25.98 MiB, class c has 20 c down and 5 c up."""
    model, server_up, classes = 25.98, 10.0, [1.0, 0.5, 0.2, 0.1] + [0.05] * 6

    def cost(density: list[float]) -> TabledCost:
        return TabledCost(
            lambda device, visit: (  # noqa: ARG005
                model * density[device] / min(server_up, 20 * classes[device]),
                0.5,
                model * density[device] / (5 * classes[device]),
            )
        )

    policy = SemiAsynchronous(grace=0.5, dispatch_gap=gap_s)
    begun = simulate(cost(classes), devices=10, policy=policy, rounds=20)
    assert np.diff(begun.tables.aggregations["time_s"]) == pytest.approx(round_s, rel=0.01)
    assert set(begun.tables.aggregations["mean_staleness"]) == {0}
    whole = [1.0] * 10
    restored = simulate(cost(whole), devices=10, policy=policy, rounds=40)
    slow = {age for device, age in restored.visits("device", "staleness") if device > 3 and age is not None}
    assert slow == {14}
    synchronous = simulate(cost(whole), devices=10, policy=Synchronous(clients_per_round=10))
    assert synchronous.server.view.time_s + 0.5 == pytest.approx(130.9, rel=0.001)


def test_the_reference_is_the_entry_that_is_fastest_with_the_whole_model() -> None:
    roster = Roster(
        profiles=("slow", "fast", "slow"),
        group=np.array([0, 0, 1, 1, 1, 2], dtype=np.int32),
        samples=np.ones(6, np.int64),
        expected_s=np.ones(6),
        full_s=np.array([4.0, 5.0, 1.0, 2.0, 9.0, 3.0]),
    )
    assert reference_devices(roster, "fastest").devices.tolist() == [2, 3, 4]
    assert reference_devices(roster, OfProfile(profile="slow")).devices.tolist() == [0, 1, 5]
    assert reference_devices(roster, OfProfile(profile="no such")).devices.tolist() == []
    assert reference_devices(roster, FastestShare(fraction=0.5)).devices.tolist() == [2, 3, 5]
    assert reference_devices(roster, FastestShare(fraction=0.1)).devices.tolist() == [2]


def test_of_entries_that_are_equally_fast_the_first_is_the_reference() -> None:
    assert reference_devices(one_entry_each(3), "fastest").devices.tolist() == [0]
