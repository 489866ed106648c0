"""Asynchronous federation, case by case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.buffered import Buffered
from edgesim.coordination.synchronous import Synchronous
from edgesim.selection.all import All
from tests.fakes import Shifts, TabledCost, computing, simulate

seconds_of_eight = st.lists(st.integers(0, 16).map(lambda n: 0.25 + n / 4), min_size=8, max_size=8)


def test_every_update_is_merged_as_it_arrives_and_its_device_sent_out_anew() -> None:
    run = simulate(
        computing(1.0, 2.5), devices=2, selector=All(), policy=Asynchronous(concurrency=2), rounds=7
    )
    # At 5.0 both arrive; that of device 1 was dispatched earlier, at 2.5.
    assert run.tables.aggregations["time_s"] == [1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 5.0]
    merged = [
        row for row in run.visits("device", "dispatched_s", "base_version", "staleness") if row[3] is not None
    ]
    assert merged == [
        (0, 0.0, 0, 0),
        (1, 0.0, 0, 2),
        (0, 1.0, 1, 0),
        (0, 2.0, 2, 1),
        (1, 2.5, 3, 2),
        (0, 3.0, 4, 0),
        (0, 4.0, 5, 1),
    ]


def test_an_update_that_is_too_stale_is_rejected_and_its_device_sent_out_anew() -> None:
    policy = Asynchronous(concurrency=2, maximum_staleness=1)
    run = simulate(computing(1.0, 2.5), devices=2, selector=All(), policy=policy, rounds=3)
    assert run.tables.aggregations["time_s"] == [1.0, 2.0, 3.0]
    assert run.visits("device", "dispatched_s", "finished_s", "outcome", "staleness") == [
        (0, 0.0, 1.0, "aggregated", 0),
        (1, 0.0, 2.5, "rejected", None),
        (0, 1.0, 2.0, "aggregated", 0),
        (0, 2.0, 3.0, "aggregated", 0),
        (1, 2.5, None, "unfinished", None),
    ]


@given(seconds_of_eight, st.integers(0, 3))
def test_no_update_is_staler_than_the_limit_and_all_others_are_merged(
    seconds: list[float], maximum: int
) -> None:
    policy = Asynchronous(concurrency=6, maximum_staleness=maximum)
    run = simulate(computing(*seconds), devices=8, policy=policy, dispatches=60)
    assert max(run.tables.aggregations["mean_staleness"]) <= maximum
    assert set(run.column("outcome")) <= {"aggregated", "rejected"}


@given(seconds_of_eight, st.integers(1, 8))
def test_so_many_are_at_work_at_any_time(seconds: list[float], concurrency: int) -> None:
    run = simulate(computing(*seconds), devices=8, policy=Asynchronous(concurrency=concurrency), rounds=40)
    spans = run.visits("dispatched_s", "finished_s")
    end_s = run.server.view.time_s
    for now_s in sorted({begin_s for begin_s, _ in spans if begin_s < end_s}):
        at_work = [begin_s <= now_s and (end is None or now_s < end) for begin_s, end in spans]
        assert sum(at_work) == concurrency


def test_who_is_lost_is_replaced_too() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 1.0, 0.0), too_small=frozenset({0}))  # noqa: ARG005
    run = simulate(cost, devices=2, selector=All(), policy=Asynchronous(concurrency=2), rounds=2)
    assert run.visits("device", "dispatched_s", "outcome") == [
        (0, 0.0, "out_of_memory"),
        (1, 0.0, "aggregated"),
        (0, 1.0, "out_of_memory"),
        (1, 2.0, "aggregated"),
        (0, 2.0, "out_of_memory"),
        (0, 3.0, "unfinished"),
    ]


def test_where_too_few_are_present_the_others_follow_as_they_come() -> None:
    there = Shifts(on_s=8.0, period_s=16.0, delay_s=[0.0, 3.0, 5.0])
    policy = Asynchronous(concurrency=3)
    run = simulate(computing(4.0, 4.0, 4.0), devices=3, policy=policy, presence=there, time_s=6.0)
    assert run.visits("device", "dispatched_s") == [(0, 0.0), (1, 3.0), (0, 4.0), (2, 5.0)]


def test_where_nobody_is_present_the_run_goes_on_when_somebody_is() -> None:
    there = Shifts(on_s=1.0, period_s=10.0, delay_s=[2.0, 2.0])
    policy = Asynchronous(concurrency=2)
    run = simulate(computing(1.0, 1.0), devices=2, selector=All(), policy=policy, presence=there, rounds=4)
    assert run.column("dispatched_s") == [2.0, 2.0, 12.0, 12.0]


def test_where_nobody_is_ever_present_the_run_ends() -> None:
    there = Shifts(on_s=1.0, period_s=2.0, delay_s=[float("inf")] * 2)
    run = simulate(
        computing(1.0, 1.0), devices=2, policy=Asynchronous(concurrency=2), presence=there, rounds=4
    )
    assert (run.reason, run.column("device")) == ("drained", [])


@given(seconds_of_eight, st.integers(1, 8))
def test_it_is_buffered_with_a_buffer_of_one(seconds: list[float], concurrency: int) -> None:
    policies = (Asynchronous(concurrency=concurrency), Buffered(buffer=1, concurrency=concurrency))
    runs = [simulate(computing(*seconds), devices=8, policy=policy, dispatches=50) for policy in policies]
    assert runs[0].tables == runs[1].tables


@given(seconds_of_eight)
def test_one_device_at_work_is_synchronous_rounds_of_one(seconds: list[float]) -> None:
    policies = (Asynchronous(concurrency=1), Synchronous(clients_per_round=1))
    runs = [simulate(computing(*seconds), devices=8, policy=policy, rounds=30) for policy in policies]
    assert runs[0].tables == runs[1].tables
    assert set(runs[0].column("staleness")) == {0}
