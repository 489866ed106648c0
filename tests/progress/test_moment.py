"""What is seen of a run at one moment."""

from __future__ import annotations

import pickle

import pytest

from edgesim.coordination.synchronous import Synchronous
from edgesim.progress.moment import Moment, results
from edgesim.selection.all import All
from edgesim.server.plan import StopRule
from edgesim.server.roster import Roster
from edgesim.simulation.engine import Simulation
from tests.fakes import FixedWorkload, TabledCost, computing, simulate
from tests.progress.moments import moment
from tests.simulation.test_stages import Present


def moments(**options: object) -> list[Moment]:
    """One after each event of a run of three devices that compute for 1, 2 and 3 s."""
    found: list[Moment] = []

    def look(simulation: Simulation) -> None:
        found.append(Moment.of(simulation))

    simulate(computing(1.0, 2.0, 3.0), devices=3, selector=All(), progress=look, **options)  # type: ignore[arg-type]
    return found


def test_the_whole_fleet_is_somewhere_at_every_moment() -> None:
    away = Present({0: [(0.0, 1.0)]})
    seen = moments(stays=away)
    assert all(sum(each.devices.values()) == 3 for each in seen)
    assert [each.devices["computing"] for each in seen] == [3, 2, 1, 0]
    assert seen[-1].devices["absent"] == 1
    assert [each.ended for each in seen] == [False, False, False, True]


def test_in_a_large_fleet_nobody_asks_who_waits() -> None:
    found: list[Moment] = []
    simulate(
        TabledCost(lambda device, visit: (0.0, 1.0, 0.0)),  # noqa: ARG005
        devices=20_000,
        roster=Roster.alike(20_000),
        policy=Synchronous(clients_per_round=3),
        progress=lambda simulation: found.append(Moment.of(simulation)),
    )
    assert set(found[-1].devices) == {"downloading", "computing", "uploading", "not at work"}
    assert [each.devices["not at work"] for each in found] == [19_997, 19_998, 19_999, 20_000]


@pytest.mark.parametrize(
    ("stop", "share"),
    [
        (StopRule(rounds=24), 0.5),
        (StopRule(rounds=24, time_s=46.0), 0.75),
        (StopRule(dispatches=520), 0.25),
        (StopRule(rounds=4), 1.0),
        (StopRule(), None),
    ],
)
def test_the_share_is_that_of_the_nearest_stop(stop: StopRule, share: float | None) -> None:
    assert moment(stop=stop).share == share


def test_the_headline_is_the_targets_metric_or_the_accuracy_or_what_there_is() -> None:
    assert moment(metrics={"loss": 1.0, "accuracy": 0.1}).headline == "accuracy"
    assert moment(metrics={"loss": 1.0, "gap": 0.1}).headline == "gap"
    assert moment(metrics={"loss": 1.0}).headline == "loss"
    assert moment(metrics={}).headline is None


def test_a_moment_of_a_real_run_can_be_sent_to_another_process() -> None:
    learner = FixedWorkload(metrics=lambda version: {"accuracy": 0.1 * version})
    (*_, last) = moments(learner=learner)
    assert pickle.loads(pickle.dumps(last)) == last  # as multiprocessing does


def test_failures_are_counted_by_what_they_were() -> None:
    assert results({"aggregated": 10}) == "10 results, 0 failures"
    assert results({"aggregated": 1, "late": 2, "dropped": 1}) == "1 result, 3 failures (2 late, 1 dropped)"
    assert results({"out_of_memory": 1}) == "0 results, 1 failure (1 out of memory)"
    assert results({"aggregated": 3, "unfinished": 7}) == "3 results, 0 failures"
