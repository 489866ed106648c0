"""Devices that run on their batteries, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgesim.devices.battery import Batteries
from edgesim.selection.all import All
from edgesim.simulation.charge import Charge
from edgesim.simulation.surroundings import Calm, Stays
from tests.fakes import Run, TabledCost, simulate
from tests.simulation.test_stages import Present, Server

# A visit takes 6 s and 12 J.
COST = TabledCost(lambda device, visit: (1.0, 4.0, 1.0))  # noqa: ARG005
ROW = ("dispatched_s", "download_s", "compute_s", "finished_s", "outcome", "energy_j")
WAYS = {"direct": {}, "by stages": {"routes": Server(1e9, 1e9)}}


def charge(
    initial_j: float, charger_w: float = 0.0, idle_w: float = 0.0, stays: Stays | None = None
) -> Charge:
    """Device 0 has a battery of 20 J with a reserve of 2 J; device 1 is plugged in."""
    columns = ((20.0, np.inf), (2.0, 0.0), (initial_j, np.inf), (charger_w, 0.0), (idle_w, 0.0))
    return Charge(stays or Calm(), Batteries(*(np.array(column) for column in columns)))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Server]:
    return WAYS[request.param]


def visits(run: Run, device: int = 0) -> list[tuple[object, ...]]:
    rows = zip(run.column("device"), run.visits(*ROW), strict=True)
    return [row for there, row in rows if there == device]


def test_a_device_that_falls_to_its_reserve_loses_its_visit_there(way: dict[str, Server]) -> None:
    run = simulate(COST, devices=2, selector=All(), stays=charge(10.0), rounds=2, **way)
    assert visits(run) == [pytest.approx((0.0, 1.0, None, 4.0, "dropped", 8.0), abs=1e-6)]
    assert [row[4] for row in visits(run, 1)] == ["aggregated"] * 2


def test_a_charged_device_comes_back_with_a_margin_above_its_reserve(way: dict[str, Server]) -> None:
    stays = charge(10.0, charger_w=1.0)
    run = simulate(COST, devices=1, stays=stays, dispatches=3, **way)
    # 10 J less 6 net for the first visit; 2 J are above the reserve, and last 2 s; from 2 J it takes 0.2 s to
    # the margin of 1 % of 20 J, with which the third visit goes on for 0.2 s.
    rows = visits(run)
    assert [row[4] for row in rows] == ["aggregated", "dropped", "dropped"]
    assert [row[0] for row in rows] == pytest.approx([0.0, 6.0, 8.2])
    assert [row[3] for row in rows] == pytest.approx([6.0, 8.0, 8.4], abs=2e-3)
    assert stays.present_s(np.array([0]), 0.0, run.column("finished_s")[-1]) == pytest.approx(8.2, abs=2e-3)


def test_who_waits_runs_down_too(way: dict[str, Server]) -> None:
    # From 10 J at 0.5 W it is at its reserve and margin of 2.2 J after 15.6 s.
    stays = charge(10.0, idle_w=0.5, stays=Present({0: [(20, 30)], 1: [(0, 100)]}))
    assert stays.first_s(np.array([0]), 0.0) == 20.0
    assert not stays.present(np.array([0]), 20.0)[0]
    run = simulate(COST, devices=2, selector=All(), stays=stays, rounds=6, **way)
    assert visits(run) == []


def test_a_battery_that_lasts_changes_nothing(way: dict[str, Server]) -> None:
    plain = simulate(COST, devices=2, selector=All(), rounds=1, **way)
    powered = simulate(COST, devices=2, selector=All(), stays=charge(20.0), rounds=1, **way)
    assert plain.tables == powered.tables


def test_seconds_of_presence_end_when_a_waiting_battery_is_empty() -> None:
    stays = charge(10.0, idle_w=0.5, stays=Present({0: [(4, 100)]}))
    assert stays.present_s(np.array([0, 1]), 0.0, 50.0) == pytest.approx([15.6 - 4, 50.0])


def test_the_last_digit_of_a_visits_end_is_no_obstacle() -> None:
    stays = charge(20.0)
    stays.spend(0, 0.0, [(0.1, 0.1), (0.2, 0.1)])
    assert 0.1 + 0.2 > 0.3
    assert stays.present_s(np.array([0]), 0.0, 0.3) == pytest.approx([0.3])
    with pytest.raises(ValueError, match=r"not from 0.0 to 0.2"):
        stays.present_s(np.array([0]), 0.0, 0.2)
