"""Rounds with over-selection and a deadline, case by case."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.coordination.deadline import Deadline
from edgesim.coordination.synchronous import Synchronous
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.simulation.surroundings import Calm
from tests.fakes import TabledCost, computing, simulate


def policy(goal: int, deadline: float, *, over: float = 1.0, minimum: float = 1.0) -> Deadline:
    return Deadline(clients_per_round=goal, over_selection=over, deadline=deadline, minimum_fraction=minimum)


def test_a_round_closes_with_the_report_that_reaches_the_goal() -> None:
    run = simulate(computing(1.0, 2.0, 5.0), devices=3, selector=All(), policy=policy(2, 100.0, over=1.5))
    assert run.tables.aggregations["time_s"] == [2.0]
    assert run.visits("outcome", "finished_s") == [
        ("aggregated", 1.0),
        ("aggregated", 2.0),
        ("unfinished", None),
    ]


def test_a_round_closes_at_its_deadline_with_what_it_has() -> None:
    run = simulate(computing(1.0, 5.0), devices=2, policy=policy(2, 3.0, minimum=0.5))
    assert run.tables.aggregations["time_s"] == [3.0]
    assert run.tables.aggregations["updates"] == [1]


def test_a_round_closes_as_soon_as_nothing_can_arrive_any_more() -> None:
    cost = TabledCost(lambda device, visit: (0.5, 1.0, 0.0), too_small=frozenset({1}))  # noqa: ARG005
    run = simulate(cost, devices=2, selector=All(), policy=policy(2, 60.0, minimum=0.5))
    assert run.tables.aggregations["time_s"] == [1.5]


def test_a_late_report_is_counted_with_its_own_end_and_never_merged() -> None:
    run = simulate(
        computing(1.0, 5.0), devices=2, selector=All(), policy=policy(2, 2.0, minimum=0.5), rounds=4
    )
    # Rounds: 0 to 2 (device 0 at 1), then device 0 alone: 2 to 3 and 3 to 4 and 4 to 5; device 1 comes at 5.
    assert run.visits("device", "dispatched_s", "finished_s", "outcome") == [
        (0, 0.0, 1.0, "aggregated"),
        (1, 0.0, 5.0, "late"),
        (0, 2.0, 3.0, "aggregated"),
        (0, 3.0, 4.0, "aggregated"),
        (0, 4.0, 5.0, "aggregated"),
    ]
    assert run.column("upload_s")[1] == 0.0
    assert run.learner.released == [1]


def test_a_device_that_is_late_cannot_be_selected_before_its_own_end() -> None:
    run = simulate(
        computing(1.0, 5.0), devices=2, selector=All(), policy=policy(2, 2.0, minimum=0.5), rounds=6
    )
    sent = [row[1] for row in run.visits("device", "dispatched_s") if row[0] == 1]
    assert sent == [0.0, 5.0]


def test_a_round_below_its_minimum_is_abandoned_and_its_reports_are_discarded() -> None:
    run = simulate(computing(1.0, 2.0, 9.0), devices=3, selector=All(), policy=policy(3, 4.0), rounds=1)
    assert run.reason == "rounds"
    assert run.visits("outcome", "finished_s") == [
        ("discarded", 1.0),
        ("discarded", 2.0),
        ("unfinished", None),
    ]
    assert run.tables.aggregations["version"] == []
    assert run.tables.evaluations["time_s"] == [0.0, 4.0]


@pytest.mark.parametrize(("minimum", "outcome"), [(2 / 3, "aggregated"), (0.67, "discarded")])
def test_the_minimum_is_the_fraction_of_the_goal_rounded_up(minimum: float, outcome: str) -> None:
    run = simulate(
        computing(1.0, 2.0, 9.0), devices=3, selector=All(), policy=policy(3, 4.0, minimum=minimum)
    )
    assert run.column("outcome") == [outcome, outcome, "unfinished"]


def test_a_report_at_the_very_deadline_is_in_time() -> None:
    run = simulate(computing(1.0, 2.0), devices=2, policy=policy(2, 2.0))
    assert run.column("outcome") == ["aggregated", "aggregated"]
    assert run.tables.aggregations["time_s"] == [2.0]


def test_of_two_reports_at_one_instant_the_one_that_was_dispatched_first_fills_the_goal() -> None:
    run = simulate(
        computing(1.0, 2.0, 2.0), devices=3, selector=All(), policy=policy(2, 60.0, over=1.5), rounds=2
    )
    assert run.visits("outcome", "finished_s")[:3] == [
        ("aggregated", 1.0),
        ("aggregated", 2.0),
        ("late", 2.0),
    ]


def test_where_nobody_is_idle_the_next_round_waits_for_somebody_late() -> None:
    run = simulate(
        computing(4.0, 6.0), devices=2, selector=All(), policy=policy(2, 1.0, minimum=0.5), rounds=3
    )
    # Abandoned at 1 with both at work; device 0 comes late at 4 and makes round 1 alone, abandoned at 5;
    # device 1 comes late at 6 and makes round 2.
    assert run.visits("device", "dispatched_s", "outcome") == [
        (0, 0.0, "late"),
        (1, 0.0, "late"),
        (0, 4.0, "unfinished"),
        (1, 6.0, "unfinished"),
    ]


def test_a_timer_of_a_round_that_is_over_closes_nothing() -> None:
    run = simulate(computing(1.0, 3.0), devices=2, selector=All(), policy=policy(1, 2.0, over=2.0), rounds=3)
    # Rounds close at 1, 2 and 3 by their first report; round 0's timer at 2 finds round 2 open.
    assert run.tables.aggregations["time_s"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("goal", "over", "sent"), [(10, 1.3, 13), (3, 1.3, 4), (7, 1.0, 7), (1, 1.3, 2)])
def test_over_selection_is_rounded_up(goal: int, over: float, sent: int) -> None:
    run = simulate(computing(*[1.0] * 30), devices=30, policy=policy(goal, 60.0, over=over))
    assert len(run.column("device")) == sent


def test_without_drop_outs_the_accepted_share_is_one_over_the_over_selection() -> None:
    draws = Streams(3).uniform("lognormal", np.arange(400)[:, None], np.arange(200))
    cost = TabledCost(lambda device, visit: (0.0, 1.0 + float(draws[device, visit]), 0.0))
    run = simulate(cost, devices=400, policy=policy(100, 60.0, over=1.3), rounds=50)
    outcomes = Counter(run.column("outcome"))
    assert outcomes["aggregated"] == 50 * 100
    assert outcomes["aggregated"] / len(run.column("device")) == pytest.approx(1 / 1.3, abs=1e-12)
    assert outcomes["late"] + outcomes["unfinished"] == 50 * 30


class DropOuts(Calm):
    """Of visits, each drops out at once with a probability of 8 %."""

    def failure_s(self, devices: NDArray[np.int64], visits: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(Streams(4).uniform("lost", devices, visits) < 0.08, 1e-3, np.inf)


def test_with_drop_outs_the_accepted_share_stays_and_fewer_are_late() -> None:
    """Algorithms 6.2, R15: lognormal durations, 8 % drop-outs: 76.9 % accepted, 8 % dropped, 15 % late."""
    draws = np.exp(Streams(3).generator("lognormal").normal(0.0, 0.5, size=(400, 200)))
    cost = TabledCost(lambda device, visit: (0.0, 60.0 * float(draws[device, visit]), 0.0))
    goal = policy(100, 3600.0, over=1.3)
    run = simulate(cost, devices=400, policy=goal, mishaps=DropOuts(), dispatches=50 * 130)
    shares = {outcome: count / 6_500 for outcome, count in Counter(run.column("outcome")).items()}
    standard_error = math.sqrt(0.08 * 0.92 / 6_500)
    assert shares["aggregated"] == pytest.approx(1 / 1.3, abs=1e-12)
    assert shares["dropped"] == pytest.approx(0.08, abs=3 * standard_error)
    assert shares["late"] == pytest.approx(1 - 1 / 1.3 - 0.08, abs=3 * standard_error)
    all_of_them = Synchronous(clients_per_round=130)
    waiting = simulate(cost, devices=400, policy=all_of_them, mishaps=DropOuts(), rounds=50)
    assert run.tables.aggregations["time_s"][-1] < waiting.tables.aggregations["time_s"][-1]


def test_a_round_of_exponential_visits_lasts_in_the_mean_as_order_statistics_say() -> None:
    """The g-th of n exponential times of mean 1 has the mean 1/n + 1/(n-1) + ... + 1/(n-g+1)."""
    goal, sent, rounds = 10, 13, 2_000
    draws = -np.log(Streams(8).uniform("exponential", np.arange(100)[:, None], np.arange(2_000)))
    cost = TabledCost(lambda device, visit: (0.0, float(draws[device, visit]), 0.0))
    run = simulate(cost, devices=100, policy=policy(goal, 1e9, over=1.3), rounds=rounds)
    rounds_s = np.diff([0.0, *run.tables.aggregations["time_s"]])
    expected_s = sum(1 / (sent - place) for place in range(goal))
    standard_error = rounds_s.std(ddof=1) / math.sqrt(rounds)
    assert rounds_s.mean() == pytest.approx(expected_s, abs=3 * standard_error)


@given(
    st.lists(st.integers(1, 40).map(lambda n: n / 4), min_size=6, max_size=12),
    st.sampled_from([0.1, 0.25, 0.5, 0.7, 1.0]),
    st.integers(1, 20).map(lambda n: n / 4),
)
def test_it_never_merges_more_than_its_goal_nor_less_than_its_minimum(
    seconds: list[float], minimum: float, deadline: float
) -> None:
    closing = policy(4, deadline, over=1.5, minimum=minimum)
    run = simulate(computing(*seconds), devices=len(seconds), policy=closing, rounds=8)
    assert all(math.ceil(minimum * 4) <= updates <= 4 for updates in run.tables.aggregations["updates"])
    merged = run.visits("dispatched_s", "finished_s", "outcome")
    assert all(end - begin <= deadline for begin, end, outcome in merged if outcome == "aggregated")


@pytest.mark.parametrize("deadline", [math.inf, 1e12])
def test_with_an_endless_deadline_and_no_over_selection_it_is_synchronous(deadline: float) -> None:
    def seconds(device: int, visit: int) -> tuple[float, float, float]:
        return 0.1, 1.0 + (7 * device + 3 * visit) % 5, 0.2

    cost = TabledCost(seconds, too_small=frozenset({3}))
    waiting = simulate(cost, devices=12, policy=Synchronous(clients_per_round=4), rounds=20)
    patient = simulate(cost, devices=12, policy=policy(4, deadline, minimum=0.01), rounds=20)
    assert patient.tables == waiting.tables
