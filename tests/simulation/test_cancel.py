"""Visits that are called off."""

from __future__ import annotations

from edgesim.server.policy import Cancel, Dispatch, Timer
from tests.fakes import Script, TabledCost, simulate

COST = TabledCost(lambda device, visit: (1.0, 4.0, 1.0))  # noqa: ARG005


def test_a_cancelled_visit_ends_at_once_with_the_phases_that_it_completed() -> None:
    script = Script([Dispatch([0], 0), Timer(3.0, 0)], [Cancel([0])])
    run = simulate(COST, devices=1, policy=script, time_s=100.0)
    assert (run.reason, run.server.view.time_s) == ("drained", 3.0)
    assert run.visits("outcome", "download_s", "compute_s", "finished_s") == [("cancelled", 1.0, None, 3.0)]
    assert run.column("energy_j") == [6.0]  # 2 W for 3 s


def test_a_device_whose_visit_was_cancelled_works_again_and_its_old_end_means_nothing() -> None:
    script = Script([Dispatch([0], 0), Timer(3.0, 0)], [Cancel([0])], [Dispatch([0], 1)])
    run = simulate(COST, devices=1, policy=script, time_s=100.0)
    assert run.visits("dispatched_s", "finished_s", "outcome") == [
        (0.0, 3.0, "cancelled"),
        (3.0, 9.0, "discarded"),
    ]


def test_a_report_of_the_same_instant_is_sooner_than_a_timer_that_cancels() -> None:
    script = Script([Dispatch([0, 1], 0), Timer(6.0, 0)], [], [], [Dispatch([0], 1), Cancel([2])])
    run = simulate(COST, devices=2, policy=script, time_s=100.0)
    assert run.visits("finished_s", "outcome") == [(6.0, "discarded"), (6.0, "discarded"), (6.0, "cancelled")]
