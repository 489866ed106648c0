"""What devices do at a moment."""

from __future__ import annotations

from edgesim.selection.all import All
from edgesim.simulation.clock import PacedClock
from edgesim.simulation.engine import Simulation
from tests.fakes import TabledCost, simulate
from tests.simulation.test_stages import Present

SECONDS = [(1.0, 1.0, 1.0), (9.0, 1.0, 1.0), (1.0, 9.0, 1.0), (1.0, 1.0, 9.0)]
COST = TabledCost(lambda device, visit: SECONDS[device])  # noqa: ARG005


def seen_at(time_s: float, cost: TabledCost, **options: object) -> dict[str, int]:
    """The activities right after the events of this time."""
    found: dict[str, int] = {}

    def look(simulation: Simulation) -> None:
        if simulation.shown_s == time_s:
            found.clear()
            found.update({str(name): count for name, count in simulation.activities().items()})

    simulate(cost, selector=All(), progress=look, **options)  # type: ignore[arg-type]
    return found


def test_a_visit_under_way_is_in_one_of_its_three_phases() -> None:
    assert seen_at(0.0, COST, devices=4) == {"downloading": 4}
    assert seen_at(3.0, COST, devices=4) == {"downloading": 1, "computing": 1, "uploading": 1}
    assert seen_at(11.0, COST, devices=4) == {}


def test_a_device_that_is_away_in_the_middle_of_a_visit_is_absent() -> None:
    away = Present({2: [(0.0, 2.0), (5.0, 99.0)]}, pausing=True)
    assert seen_at(3.0, COST, devices=4, stays=away) == {"downloading": 1, "absent": 1, "uploading": 1}


def test_a_clock_that_is_played_shows_a_time_between_two_events() -> None:
    shown: list[float] = []
    clock = PacedClock(speed=100.0, meanwhile=lambda: shown.append(clock.shown_s))
    simulate(COST, devices=1, selector=All(), clock=clock)
    assert shown
    assert all(0.0 <= time_s <= 3.0 for time_s in shown)
    assert clock.now == 3.0
