"""What every selection rule must do."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edgesim import registry
from edgesim.coordination.synchronous import Synchronous
from edgesim.rng import Streams
from edgesim.selection._selector import SelectionRule
from edgesim.server.effects import Start
from edgesim.server.events import Begin
from edgesim.server.plan import EvaluationPlan, StopRule
from edgesim.server.roster import EverPresent, Roster, Subset
from edgesim.server.server import Server
from tests.contract._examples import example
from tests.fakes import FixedWorkload, Shifts, computing, simulate

DEVICES, AT_WORK = 12, 5


@pytest.fixture(params=registry.names("selection"))
def selector(request: pytest.FixtureRequest) -> SelectionRule:
    return example(registry.builtin("selection", request.param))


def at_work(selector: SelectionRule, first_round: int) -> tuple[Server, set[int]]:
    """A server that has sent out so many devices, and which ones these are."""
    server = Server(
        roster=Roster.alike(DEVICES),
        policy=Synchronous(clients_per_round=first_round),
        selector=selector,
        learner=FixedWorkload(),
        streams=Streams(1),
        stop=StopRule(rounds=9),
        evaluation=EvaluationPlan(),
    )
    (start,) = server.handle(Begin(), 0.0)
    assert isinstance(start, Start)
    return server, {order.device for order in start.orders}


@pytest.mark.parametrize("k", [1, 3, 7, 50])
def test_it_picks_distinct_idle_devices_and_no_more_than_asked_for(selector: SelectionRule, k: int) -> None:
    server, busy = at_work(selector, AT_WORK)
    picked = server.view.select(k)
    idle = set(range(DEVICES)) - busy
    assert len(picked) == len(set(picked))
    assert set(picked) <= idle
    assert len(picked) == (len(idle) if selector.takes_all else min(k, len(idle)))


def test_the_same_view_gives_the_same_devices(selector: SelectionRule) -> None:
    server, _ = at_work(selector, AT_WORK)
    assert server.view.select(3) == server.view.select(3)


def test_within_some_of_the_devices_it_picks_of_these_alone(selector: SelectionRule) -> None:
    server, busy = at_work(selector, AT_WORK)
    some = Subset.of(np.arange(DEVICES) % 2 == 0)
    picked = server.view.select(3, some)
    idle = {0, 2, 4, 6, 8, 10} - busy
    assert set(picked) <= idle
    assert len(picked) == len(set(picked)) == (len(idle) if selector.takes_all else min(3, len(idle)))


def test_it_picks_nobody_who_is_absent(selector: SelectionRule) -> None:
    away = [math.inf if device % 3 == 0 else 0.0 for device in range(DEVICES)]
    run = simulate(
        computing(*range(1, DEVICES + 1)),
        devices=DEVICES,
        policy=Synchronous(clients_per_round=4),
        selector=selector,
        learner=FixedWorkload(loss=lambda order: 1.0 + order.device),
        presence=Shifts(on_s=50.0, period_s=100.0, delay_s=away),
        rounds=20,
    )
    assert set(run.column("device")) <= {device for device in range(DEVICES) if device % 3}
    assert run.tables.aggregations["updates"] == [8 if selector.takes_all else 4] * 20


@dataclass
class Asked(EverPresent):
    """A fleet that nobody leaves, and that counts of how many devices this was asked."""

    always = False
    devices: int = 0

    def present(self, devices: NDArray[np.int64], at_s: float) -> NDArray[np.bool_]:
        self.devices += len(devices)
        return super().present(devices, at_s)


def test_it_looks_at_a_few_devices_of_a_large_fleet(selector: SelectionRule) -> None:
    if selector.takes_all:
        pytest.skip("takes them all")
    size, presence = 100_000, Asked()
    run = simulate(
        computing(*[1.0] * size),
        devices=size,
        roster=Roster.alike(size),
        policy=Synchronous(clients_per_round=5),
        selector=selector,
        learner=FixedWorkload(loss=lambda order: 1.0 + order.device),
        presence=presence,
        rounds=10,
    )
    assert len(run.column("device")) == 50
    assert presence.devices < 20 * 50


def test_where_nobody_is_idle_it_picks_nobody(selector: SelectionRule) -> None:
    server, _ = at_work(selector, DEVICES)
    assert server.view.select(3) == []


def test_it_keeps_no_state(selector: SelectionRule) -> None:
    assert dataclasses.is_dataclass(selector)
    assert type(selector).__dataclass_params__.frozen
    assert isinstance(selector, SelectionRule)
