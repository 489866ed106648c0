"""When a run is looked at."""

from __future__ import annotations

import pytest

from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.parts import prepare
from edgesim.progress.moment import Moment
from edgesim.progress.watch import INTERVAL_S, SINGLY, Watch
from edgesim.scenario import resolve
from edgesim.selection.all import All
from edgesim.simulation.engine import Simulation
from tests.fakes import computing, simulate
from tests.progress.moments import HostClock

FOUR = computing(1.0, 2.0, 3.0, 4.0)


def watched(*, by_rounds: bool, event_s: float, rounds: int) -> list[Moment]:
    """What is told of a run of four devices, each event of which takes so many host seconds."""
    clock, told = HostClock(), []
    watch = Watch(told.append, by_rounds=by_rounds, now=clock)

    def after_event(simulation: Simulation) -> None:
        clock.now_s += event_s
        watch.after_event(simulation)

    simulate(FOUR, devices=4, selector=All(), rounds=rounds, progress=after_event)
    return told


def test_the_first_rounds_are_told_one_by_one_and_the_end_always() -> None:
    told = watched(by_rounds=True, event_s=0.0, rounds=50)
    assert [each.rounds for each in told] == [*range(1, SINGLY + 1), 50]
    assert [each.time_s for each in told] == [4.0 * each.rounds for each in told]
    assert [each.ended for each in told] == [False] * SINGLY + [True]


def test_slow_rounds_are_told_one_by_one() -> None:
    told = watched(by_rounds=True, event_s=INTERVAL_S, rounds=30)
    assert [each.rounds for each in told] == list(range(1, 31))


def test_a_view_sees_the_middle_of_a_round_rather_than_its_begin() -> None:
    *told, last = watched(by_rounds=False, event_s=0.3 * INTERVAL_S, rounds=30)
    assert last.ended
    assert len(told) > 10
    assert all(0 < each.devices["computing"] < 4 for each in told[1:])


def test_a_run_without_end_in_sight_is_looked_at_no_more_often_than_people_can_see() -> None:
    told = watched(by_rounds=False, event_s=INTERVAL_S / 100, rounds=500)
    assert len(told) <= 2 + 500 * 4 / 100


def test_nothing_is_told_between_events_before_the_run_has_begun() -> None:
    told: list[Moment] = []
    Watch(told.append, by_rounds=False).meanwhile()
    assert told == []


@pytest.mark.parametrize("variant", ["deadline", "buffered"])
def test_a_run_that_is_looked_at_after_each_event_is_the_same_run(variant: str) -> None:
    document = open_document("batteries-and-faults")
    parts = prepare(resolve(document, variant, ["stop={time: 2 h}"]))
    moments: list[Moment] = []
    progress = lambda simulation: moments.append(Moment.of(simulation))  # noqa: E731
    looked_at = execute(parts, timing_only=True, progress=progress)
    assert looked_at.tables == execute(parts, timing_only=True).tables
