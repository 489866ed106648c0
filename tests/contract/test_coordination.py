"""What every coordination policy must do, whatever the devices are like."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import registry
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.selection.uniform import Uniform
from edgesim.server.events import Outcome
from tests.contract._examples import example
from tests.fakes import Run, Shifts, TabledCost, simulate

# Multiples of 1/4 s, so that sums are exact and many events fall on one instant.
quarters = st.integers(0, 16).map(lambda n: n / 4)


@st.composite
def fleets(draw: st.DrawFn, *, all_fit: bool = False) -> dict[str, Any]:
    devices = draw(st.integers(1, 8))
    table = draw(st.lists(st.tuples(quarters, quarters, quarters), min_size=devices, max_size=devices))
    some = devices > 1 and not all_fit
    too_small = draw(st.frozensets(st.integers(1, devices - 1))) if some else frozenset()

    def seconds(device: int, visit: int) -> tuple[float, float, float]:
        download_s, compute_s, upload_s = table[device]
        patience_s = 4.0 if device in too_small else 0.0  # else a hundred losses precede the first arrival
        return download_s + patience_s, compute_s + visit % 3, upload_s

    return {"cost": TabledCost(seconds, too_small), "devices": devices, "seed": draw(st.integers(0, 99))}


@st.composite
def fleets_with_absences(draw: st.DrawFn) -> dict[str, Any]:
    fleet = draw(fleets(all_fit=True))  # else a hundred losses fall into the absence of those that do
    others = st.one_of(quarters, st.just(math.inf))
    delay_s = [draw(quarters), *(draw(others) for _ in range(fleet["devices"] - 1))]
    on_s = draw(st.integers(1, 16)) / 4
    return fleet | {"presence": Shifts(on_s, on_s + draw(st.integers(1, 16)) / 4, delay_s)}


def simulated(policy: CoordinationPolicy, fleet: dict[str, Any], **stop: Any) -> Run:
    # FixedWorkload and Server check on the way: nothing is merged or released twice, nobody gets two orders.
    return simulate(policy=policy, selector=Uniform(), **fleet, **stop)


def check_laws(run: Run) -> None:
    outcomes = Counter(run.column("outcome"))
    assert outcomes.total() == len(run.column("dispatch"))
    assert set(outcomes) <= {str(outcome) for outcome in Outcome}
    assert outcomes["aggregated"] == sum(run.tables.aggregations["updates"])
    assert not run.learner.open
    for device in set(run.column("device")):
        spans = [row[1:] for row in run.visits("device", "dispatched_s", "finished_s") if row[0] == device]
        for (_, finished_s), (dispatched_s, _) in pairwise(spans):
            assert finished_s is not None
            assert finished_s <= dispatched_s
    for base_version, staleness, outcome in run.visits("base_version", "staleness", "outcome"):
        assert (staleness is None) == (outcome != "aggregated")
        assert staleness is None or 0 <= base_version + staleness < run.server.view.version


@pytest.fixture(params=registry.names("coordination"), scope="module")
def policy(request: pytest.FixtureRequest) -> CoordinationPolicy:
    return example(registry.builtin("coordination", request.param))


def test_it_names_an_aggregation_that_there_is_or_leaves_it_to_the_submodel(
    policy: CoordinationPolicy,
) -> None:
    assert policy.aggregation in (None, *registry.names("aggregation"))
    assert isinstance(policy.keeps_latest, bool)


@settings(max_examples=60, deadline=None)
@given(fleet=fleets())
def test_it_always_does_something_more_until_its_rounds_are_over(
    policy: CoordinationPolicy, fleet: dict[str, Any]
) -> None:
    run = simulated(policy, fleet, rounds=5)
    assert run.reason == "rounds"
    assert run.server.view.rounds == 5
    check_laws(run)


@settings(max_examples=60, deadline=None)
@given(fleet=fleets(), limit=st.integers(1, 20))
def test_with_a_limit_on_dispatches_all_of_them_return(
    policy: CoordinationPolicy, fleet: dict[str, Any], limit: int
) -> None:
    run = simulated(policy, fleet, dispatches=limit)
    assert run.reason == "dispatches"
    assert len(run.column("dispatch")) == limit
    assert "unfinished" not in run.column("outcome")
    check_laws(run)


@settings(max_examples=60, deadline=None)
@given(fleet=fleets_with_absences())
def test_where_devices_come_and_go_it_goes_on_and_sends_out_nobody_who_is_absent(
    policy: CoordinationPolicy, fleet: dict[str, Any]
) -> None:
    run = simulated(policy, fleet, rounds=5)
    assert run.reason == "rounds"
    check_laws(run)
    for device, dispatched_s in run.visits("device", "dispatched_s"):
        assert fleet["presence"].present(np.array([device]), dispatched_s).all()


@settings(max_examples=60, deadline=None)
@given(fleet=fleets_with_absences(), limit=st.integers(1, 20))
def test_where_devices_come_and_go_a_limit_on_dispatches_is_reached_as_well(
    policy: CoordinationPolicy, fleet: dict[str, Any], limit: int
) -> None:
    run = simulated(policy, fleet, dispatches=limit)
    assert (run.reason, len(run.column("dispatch"))) == ("dispatches", limit)
    check_laws(run)


@settings(max_examples=30, deadline=None)
@given(fleet=fleets())
def test_the_same_run_again_is_the_same(policy: CoordinationPolicy, fleet: dict[str, Any]) -> None:
    assert simulated(policy, fleet, rounds=4).tables == simulated(policy, fleet, rounds=4).tables


def test_it_is_a_frozen_component(policy: CoordinationPolicy) -> None:
    assert isinstance(policy, CoordinationPolicy)
    assert type(policy).__dataclass_params__.frozen
