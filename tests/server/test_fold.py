"""The server as a fold: events in, effects out, one decision of a scripted policy after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edgesim.errors import RunFailed
from edgesim.rng import Streams
from edgesim.selection.uniform import Uniform
from edgesim.server.effects import Abort, Effect, Finish, SetTimer, Start
from edgesim.server.events import (
    Abandoned,
    Aggregated,
    Arrived,
    Begin,
    Drained,
    Fired,
    Lost,
    Outcome,
    TimerKind,
    VisitReport,
)
from edgesim.server.plan import EvaluationPlan, StopRule
from edgesim.server.policy import (
    Abandon,
    Action,
    Aggregate,
    Cancel,
    Dispatch,
    Refuse,
    Remember,
    Stop,
    Timer,
)
from edgesim.server.roster import Roster
from edgesim.server.server import Server
from edgesim.server.view import View
from tests.fakes import WORKLOAD, FixedWorkload, Script

REPORT = VisitReport(0.0, 1.0, 0.0, None, "tabled")


def serve(script: Script, devices: int = 4, learner: FixedWorkload | None = None, **stop: Any) -> Server:
    return Server(
        roster=Roster.alike(devices),
        policy=script,
        selector=Uniform(),
        learner=learner or FixedWorkload(),
        streams=Streams(1),
        stop=StopRule(**stop),
        evaluation=EvaluationPlan(),
    )


def begun(*lines: Sequence[Action] | Callable[[View], Sequence[Action]]) -> tuple[Server, list[Effect]]:
    server = serve(Script(*lines))
    return server, server.handle(Begin(), 0.0)


def test_a_dispatch_starts_numbered_visits_with_their_workloads() -> None:
    server, effects = begun([Dispatch([2, 0], tag=0)])
    (start,) = effects
    assert isinstance(start, Start)
    assert [(order.dispatch, order.device, order.visit) for order in start.orders] == [(0, 2, 0), (1, 0, 0)]
    assert start.workloads == (WORKLOAD, WORKLOAD)
    assert (list(server.view.in_flight(0)), server.view.idle) == ([0, 1], 2)


def test_visits_are_counted_per_device() -> None:
    server, _ = begun([Dispatch([2], tag=0)], [Dispatch([2, 1], tag=1)])
    (start,) = server.handle(Arrived(0, REPORT), 1.0)
    assert isinstance(start, Start)
    assert [(order.device, order.visit) for order in start.orders] == [(2, 1), (1, 0)]


def test_an_arrival_is_held_and_its_device_is_idle() -> None:
    server, _ = begun([Dispatch([2, 0], tag=7)])
    server.handle(Arrived(1, REPORT), 1.0)
    view = server.view
    assert (list(view.held(7)), list(view.in_flight(7)), list(view.open_tags)) == ([1], [0], [7])
    assert 0 in view.free()
    assert 2 not in view.free()


def test_held_updates_lie_in_order_of_arrival_and_are_merged_in_dispatch_order() -> None:
    learner = FixedWorkload()
    server = serve(Script([Dispatch([0, 1], 0)], [], lambda view: [Aggregate(view.held(0))]), learner=learner)
    server.handle(Begin(), 0.0)
    server.handle(Arrived(1, REPORT), 1.0)
    assert list(server.view.held(0)) == [1]
    server.handle(Arrived(0, REPORT), 2.0)
    assert learner.aggregated == [0, 1]


def test_the_policy_hears_of_an_aggregation_at_once_and_replacements_leave_from_the_new_version() -> None:
    script = Script([Dispatch([0, 1], 0)], [Aggregate([0])], [Dispatch([0], 1)])
    server = serve(script)
    server.handle(Begin(), 0.0)
    (start,) = server.handle(Arrived(0, REPORT), 1.0)
    assert script.heard[1:] == [Arrived(0, REPORT), Aggregated(1, (0,))]
    assert isinstance(start, Start)
    assert start.orders[0].version == 1


def test_staleness_is_counted_in_versions() -> None:
    server, _ = begun([Dispatch([0, 1, 2], 0)], [Aggregate([0])], [], [Aggregate([1])], [], [Aggregate([2])])
    for dispatch in range(3):
        server.handle(Arrived(dispatch, REPORT), dispatch + 1.0)
    tables = server.finish()
    assert tables.dispatches["staleness"] == [0, 1, 2]
    assert tables.aggregations["mean_staleness"] == [0.0, 1.0, 2.0]


def test_history_holds_merged_visits_and_what_they_took() -> None:
    server, _ = begun([Dispatch([3, 1], 0)], [Aggregate([0])])
    server.handle(Arrived(0, REPORT), 2.5)
    view = server.view
    (dispatch,) = view.history
    assert (view.device(dispatch), view.duration_s(dispatch), view.losses([dispatch])) == (3, 2.5, [None])


def test_abandoning_discards_what_is_held_and_counts_as_a_round() -> None:
    script = Script([Dispatch([0, 1], 0)], [Abandon()])
    server = serve(script)
    server.handle(Begin(), 0.0)
    server.handle(Arrived(0, REPORT), 1.0)
    assert script.heard[-1] == Abandoned(0)
    assert (server.view.rounds, server.view.version) == (1, 0)
    assert server.finish().dispatches["outcome"] == ["discarded", "unfinished"]


def test_what_is_refused_is_released_and_bears_its_reason() -> None:
    learner = FixedWorkload()
    server = serve(
        Script([Dispatch([0, 1, 2], 0)], [Refuse([0], Outcome.LATE)], [Refuse([1], Outcome.REJECTED)]),
        learner=learner,
    )
    server.handle(Begin(), 0.0)
    server.handle(Arrived(0, REPORT), 1.0)
    server.handle(Arrived(1, REPORT), 2.0)
    assert learner.released == [0, 1]
    assert server.finish().dispatches["outcome"] == ["late", "rejected", "unfinished"]


def test_what_is_still_held_at_the_end_is_discarded() -> None:
    server, _ = begun([Dispatch([0, 1], 0)])
    server.handle(Arrived(0, REPORT), 1.0)
    tables = server.finish()
    assert tables.dispatches["outcome"] == ["discarded", "unfinished"]
    assert tables.dispatches["finished_s"] == [1.0, None]


def test_a_timer_fires_after_its_seconds_and_the_policy_knows_it_by_its_tag() -> None:
    script = Script([Dispatch([0], 0), Timer(2.5, (3, 1))], [], [Timer(1.0, 4)])
    server = serve(script)
    assert server.handle(Begin(), 0.0)[1] == SetTimer(2.5, (3, 1), TimerKind.POLICY)
    server.handle(Arrived(0, REPORT), 2.0)
    assert server.handle(Fired((3, 1)), 2.5) == [SetTimer(3.5, 4, TimerKind.POLICY)]
    assert script.heard[-1] == Fired((3, 1))


def test_a_cancellation_is_a_request_and_its_answer_frees_the_device() -> None:
    server, effects = begun([Dispatch([0, 1], 0), Cancel([0])])
    assert effects[1] == Abort((0,))
    assert 0 not in server.view.free()
    server.handle(Lost(0, Outcome.CANCELLED, REPORT), 1.0)
    assert 0 in server.view.free()
    assert server.finish().dispatches["outcome"] == ["cancelled", "unfinished"]


def test_a_small_value_is_remembered() -> None:
    server, _ = begun([Dispatch([0], 0), Remember((1, 2.5))])
    assert server.view.remembered == (1, 2.5)


def test_a_policy_can_end_the_run() -> None:
    _, effects = begun([Stop("converged")])
    assert effects == [Finish("converged")]


def test_a_policy_that_lets_the_run_dry_up_is_asked_once_more() -> None:
    script = Script([Dispatch([0], 0)], [], lambda view: [Aggregate(view.held(0))])
    server = serve(script)
    server.handle(Begin(), 0.0)
    assert server.handle(Arrived(0, REPORT), 1.0) == [Finish("drained")]
    assert script.heard == [Begin(), Arrived(0, REPORT), Drained(), Aggregated(1, (0,))]


def test_no_more_is_dispatched_than_the_stop_rule_allows() -> None:
    server = serve(Script([Dispatch([0, 1, 2], 0)]), dispatches=2)
    (start,) = server.handle(Begin(), 0.0)
    assert isinstance(start, Start)
    assert [order.device for order in start.orders] == [0, 1]
    assert server.view.select(2) == []


def test_a_draw_is_the_same_until_something_is_dispatched() -> None:
    seen: list[list[int]] = []

    def line(view: View) -> Sequence[Action]:
        seen.extend([view.draw(2), view.draw(2)])
        return [Dispatch(seen[0], 0)]

    server, _ = begun(line)
    assert seen[0] == seen[1]
    assert set(server.view.draw(4)) == {0, 1, 2, 3} - set(seen[0])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Dispatch([1], 0), "device 1 is not idle"),
        (Dispatch([4], 0), "device 4 is not idle"),
        (Dispatch([2, 2], 0), r"named twice in one dispatch: \[2, 2\]"),
        (Aggregate([1]), "dispatch 1 is not held"),
        (Aggregate([0, 0]), "dispatch 0 is not held"),
        (Aggregate([]), "an aggregation of nothing"),
        (Refuse([9], Outcome.LATE), "dispatch 9 is not held"),
        (Cancel([0]), "dispatch 0 is not in flight"),
        (Timer(-1.0, 0), "a timer after -1.0 s"),
        ("dispatch", "'dispatch' is no action"),
    ],
)
def test_what_a_policy_may_not_do_is_refused_by_name(action: Action, message: str) -> None:
    server, _ = begun([Dispatch([0, 1], 0)], [action])
    with pytest.raises(RunFailed, match=message):
        server.handle(Arrived(0, REPORT), 1.0)


def test_a_visit_ends_once() -> None:
    server, _ = begun([Dispatch([0, 1], 0)])
    server.handle(Arrived(0, REPORT), 1.0)
    with pytest.raises(RunFailed, match="dispatch 0 ended although it was not in flight"):
        server.handle(Lost(0, Outcome.DROPPED, REPORT), 2.0)
