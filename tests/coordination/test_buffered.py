"""Buffered asynchronous federation, case by case."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.coordination.buffered import Buffered
from edgesim.coordination.synchronous import Synchronous
from edgesim.rng import Streams
from edgesim.selection.all import All
from tests.fakes import Run, TabledCost, computing, simulate


def test_updates_are_merged_when_the_buffer_is_full_and_the_last_one_s_device_leaves_with_the_result() -> (
    None
):
    policy = Buffered(buffer=2, concurrency=2)
    run = simulate(computing(1.0, 2.5), devices=2, selector=All(), policy=policy, rounds=3)
    assert run.tables.aggregations["time_s"] == [2.0, 3.0, 5.0]
    assert run.visits("device", "dispatched_s", "base_version", "staleness") == [
        (0, 0.0, 0, 0),
        (1, 0.0, 0, 1),
        (0, 1.0, 0, 0),
        (0, 2.0, 1, 0),
        (1, 2.5, 1, 1),
        (0, 3.0, 2, 0),
        (0, 4.0, 2, None),
    ]
    assert run.column("outcome")[-1] == "unfinished"


def test_what_is_left_in_the_buffer_is_merged_once_no_more_dispatches_are_to_come() -> None:
    policy = Buffered(buffer=3, concurrency=2)
    run = simulate(computing(1.0, 1.0), devices=2, policy=policy, dispatches=5)
    assert (run.reason, run.tables.aggregations["updates"]) == ("dispatches", [3, 2])
    assert run.tables.aggregations["time_s"] == [2.0, 3.0]


def test_what_is_left_in_the_buffer_at_the_end_of_time_is_discarded() -> None:
    run = simulate(computing(1.0), devices=1, policy=Buffered(buffer=3, concurrency=1), time_s=5.0)
    assert Counter(run.column("outcome")) == {"aggregated": 3, "discarded": 2, "unfinished": 1}


@given(
    st.lists(st.integers(1, 20).map(lambda n: n / 4), min_size=6, max_size=6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 60),
)
def test_as_many_versions_are_made_as_the_buffer_was_full_and_one_of_the_rest(
    seconds: list[float], buffer: int, concurrency: int, dispatches: int
) -> None:
    policy = Buffered(buffer=buffer, concurrency=concurrency)
    run = simulate(computing(*seconds), devices=6, policy=policy, dispatches=dispatches)
    full, rest = divmod(dispatches, buffer)
    assert run.tables.aggregations["updates"] == [buffer] * full + [rest] * (rest > 0)


@given(
    st.lists(st.integers(1, 20).map(lambda n: n / 4), min_size=6, max_size=6),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_each_aggregation_makes_all_but_one_of_those_at_work_a_version_staler(
    seconds: list[float], buffer: int, concurrency: int
) -> None:
    policy = Buffered(buffer=buffer, concurrency=concurrency)
    run = simulate(computing(*seconds), devices=6, policy=policy, rounds=20)
    ages = [
        20 - base if staleness is None else staleness
        for base, staleness, outcome in run.visits("base_version", "staleness", "outcome")
    ]
    assert sum(ages) == 20 * (concurrency - 1)


def exponential(run_of: int) -> TabledCost:
    draws = -np.log(Streams(run_of).uniform("exponential", np.arange(60)[:, None], np.arange(200)))
    return TabledCost(lambda device, visit: (0.0, float(draws[device, visit]), 0.0))


def half_normal(run_of: int) -> TabledCost:
    draws = np.abs(Streams(run_of).generator("half-normal").normal(size=(60, 200)))
    return TabledCost(lambda device, visit: (0.0, float(draws[device, visit]), 0.0))


def staleness_in_the_middle(run: Run) -> float:
    """Mean over the dispatches 500 to 1499 in the order of sending; all of them have been merged."""
    return float(np.mean(run.column("staleness")[500:1500]))


@pytest.mark.parametrize(("buffer", "concurrency"), [(1, 8), (5, 20), (10, 7)])
@pytest.mark.parametrize("durations", [exponential, half_normal])
def test_mean_staleness_is_one_less_than_the_concurrency_over_the_buffer(
    durations, buffer: int, concurrency: int
) -> None:
    policy = Buffered(buffer=buffer, concurrency=concurrency)
    means = [
        staleness_in_the_middle(
            simulate(durations(seed), devices=60, policy=policy, seed=seed, dispatches=2_000)
        )
        for seed in range(12)
    ]
    standard_error = np.std(means, ddof=1) / np.sqrt(len(means))
    assert np.mean(means) == pytest.approx((concurrency - 1) / buffer, abs=3 * standard_error)


def test_where_all_are_at_work_and_equally_fast_its_versions_come_when_those_of_synchronous_rounds_do() -> (
    None
):
    together = simulate(computing(*[2.0] * 5), devices=5, policy=Synchronous(clients_per_round=5), rounds=4)
    buffered = simulate(computing(*[2.0] * 5), devices=5, policy=Buffered(buffer=5, concurrency=5), rounds=4)
    assert buffered.tables.aggregations["time_s"] == together.tables.aggregations["time_s"]
    assert buffered.tables.aggregations["updates"] == together.tables.aggregations["updates"]
