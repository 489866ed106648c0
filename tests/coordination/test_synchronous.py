"""Synchronous rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.coordination.synchronous import Synchronous
from edgesim.errors import RunFailed
from edgesim.rng import Streams
from edgesim.selection.all import All
from tests.fakes import TabledCost, computing, simulate


def test_a_round_lasts_as_long_as_its_slowest_visit() -> None:
    run = simulate(computing(1.0, 4.0, 2.0), devices=3, rounds=3)
    assert run.tables.aggregations["time_s"] == [4.0, 8.0, 12.0]
    assert run.tables.aggregations["updates"] == [3, 3, 3]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_the_first_round_of_any_fleet_lasts_as_long_as_its_slowest_visit(seconds: list[float]) -> None:
    run = simulate(computing(*seconds), devices=len(seconds))
    assert run.tables.aggregations["time_s"] == [max(seconds)]


def test_a_round_sends_out_as_many_as_asked_for() -> None:
    run = simulate(computing(*[1.0] * 10), devices=10, policy=Synchronous(clients_per_round=4), rounds=5)
    assert run.tables.aggregations["updates"] == [4] * 5


def test_a_fleet_that_is_smaller_sends_out_all_it_has() -> None:
    run = simulate(computing(1.0, 2.0), devices=2, policy=Synchronous(clients_per_round=50), rounds=2)
    assert run.tables.aggregations["updates"] == [2, 2]


def test_a_round_merges_whatever_arrived() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 2.0, 0.0), too_small=frozenset({0}))  # noqa: ARG005
    run = simulate(cost, devices=3, selector=All(), rounds=2)
    assert run.column("outcome") == ["out_of_memory", "aggregated", "aggregated"] * 2
    assert run.tables.aggregations["updates"] == [2, 2]


def test_a_round_of_which_nothing_arrives_is_abandoned_and_counts() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 2.0, 0.0), too_small=frozenset({0, 1}))  # noqa: ARG005
    run = simulate(cost, devices=2, rounds=3)
    assert run.reason == "rounds"
    assert run.column("outcome") == ["out_of_memory"] * 6
    assert run.column("dispatched_s") == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    assert run.tables.aggregations["version"] == []
    assert run.server.view.rounds == 3


def test_a_run_on_which_nothing_ever_fits_fails_and_says_why() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 2.0, 0.0), too_small=frozenset(range(200)))  # noqa: ARG005
    with pytest.raises(RunFailed, match=r"201 visits in a row .*out_of_memory 201.*smaller sub-models"):
        simulate(cost, devices=200, policy=Synchronous(clients_per_round=10), time_s=1e9)


@pytest.mark.parametrize("clients", [1, 3, 10])
def test_mean_round_of_exponential_compute_times_is_the_harmonic_number(clients: int) -> None:
    rate, replications = 0.5, 2_000
    uniform = Streams(11).uniform("exponential", np.arange(clients)[:, None], np.arange(replications))
    draws = -np.log(uniform) / rate
    cost = TabledCost(lambda device, visit: (0.0, float(draws[device, visit]), 0.0))
    run = simulate(cost, devices=clients, selector=All(), rounds=replications)
    rounds_s = np.diff([0.0, *run.tables.aggregations["time_s"]])
    harmonic = sum(1 / i for i in range(1, clients + 1))
    standard_error = rounds_s.std(ddof=1) / np.sqrt(replications)
    assert rounds_s.mean() == pytest.approx(harmonic / rate, abs=3 * standard_error)
