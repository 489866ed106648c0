"""What every selection rule must do."""

from __future__ import annotations

import dataclasses

import pytest

from edgesim import registry
from edgesim.coordination.synchronous import Synchronous
from edgesim.rng import Streams
from edgesim.selection._selector import SelectionRule
from edgesim.server.effects import Start
from edgesim.server.events import Begin
from edgesim.server.plan import EvaluationPlan, StopRule
from edgesim.server.roster import Roster
from edgesim.server.server import Server
from tests.contract._examples import example
from tests.fakes import FixedWorkload

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


def test_where_nobody_is_idle_it_picks_nobody(selector: SelectionRule) -> None:
    server, _ = at_work(selector, DEVICES)
    assert server.view.select(3) == []


def test_it_keeps_no_state(selector: SelectionRule) -> None:
    assert dataclasses.is_dataclass(selector)
    assert type(selector).__dataclass_params__.frozen
    assert isinstance(selector, SelectionRule)
