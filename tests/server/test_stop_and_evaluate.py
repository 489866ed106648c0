"""When a run ends and when it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgesim.coordination.deadline import Deadline
from edgesim.coordination.synchronous import Synchronous
from edgesim.errors import RunFailed
from edgesim.selection.all import All
from edgesim.server.plan import EvaluationPlan, Target
from tests.fakes import FixedWorkload, Run, computing, simulate


def learning(version: int) -> Mapping[str, float]:
    return {"loss": 2.0 - version / 4, "accuracy": version / 10}


def rows(run: Run) -> list[tuple[float, int]]:
    evaluations = run.tables.evaluations
    return list(zip(evaluations["time_s"], evaluations["version"], strict=True))


def test_rounds_end_a_run_at_the_last_of_them() -> None:
    run = simulate(computing(2.0), devices=1, rounds=3)
    assert (run.reason, run.server.view.time_s, run.server.view.version) == ("rounds", 6.0, 3)


def test_nothing_is_dispatched_once_the_run_has_ended() -> None:
    run = simulate(computing(2.0), devices=1, rounds=3)
    assert len(run.column("device")) == 3


def test_time_ends_a_run_at_that_time() -> None:
    run = simulate(computing(2.0), devices=1, time_s=5.0)
    assert (run.reason, run.server.view.time_s) == ("time", 5.0)
    assert run.column("outcome") == ["aggregated", "aggregated", "unfinished"]


def test_a_deadline_at_the_instant_of_the_time_limit_comes_before_it() -> None:
    policy = Deadline(clients_per_round=2, over_selection=1.0, deadline=2.0, minimum_fraction=0.5)
    run = simulate(computing(1.0, 9.0), devices=2, policy=policy, time_s=2.0)
    assert run.reason == "time"
    assert run.tables.aggregations["time_s"] == [2.0]


def test_dispatches_end_a_run_when_those_in_flight_have_returned() -> None:
    policy = Synchronous(clients_per_round=2)
    run = simulate(computing(1.0, 3.0), devices=2, selector=All(), policy=policy, dispatches=3)
    assert run.reason == "dispatches"
    assert run.visits("dispatched_s", "finished_s", "outcome") == [
        (0.0, 1.0, "aggregated"),
        (0.0, 3.0, "aggregated"),
        (3.0, 4.0, "aggregated"),
    ]
    assert run.server.view.time_s == 4.0


def test_a_deadline_that_is_still_to_come_does_not_prolong_a_run_without_dispatches_left() -> None:
    policy = Deadline(clients_per_round=1, over_selection=1.0, deadline=3600.0)
    run = simulate(computing(1.0), devices=1, policy=policy, dispatches=2)
    assert (run.reason, run.server.view.time_s) == ("dispatches", 2.0)


def test_late_visits_return_before_a_run_without_dispatches_left_ends() -> None:
    policy = Deadline(clients_per_round=1, over_selection=2.0, deadline=60.0)
    run = simulate(computing(1.0, 7.0), devices=2, selector=All(), policy=policy, dispatches=2)
    assert run.visits("outcome", "finished_s") == [("aggregated", 1.0), ("late", 7.0)]
    assert run.server.view.time_s == 7.0


@pytest.mark.parametrize(
    "target",
    [Target(metric="accuracy", value=0.3), Target(metric="loss", value=1.25)],
    ids=lambda t: t.metric,
)
def test_the_first_evaluation_at_the_target_ends_a_run(target: Target) -> None:
    plan = EvaluationPlan(every_rounds=1)
    run = simulate(
        computing(2.0),
        devices=1,
        learner=FixedWorkload(metrics=learning),
        evaluation=plan,
        target=target,
        rounds=9,
    )
    assert (run.reason, run.server.view.version, run.server.view.time_s) == ("target", 3, 6.0)
    assert rows(run)[-1] == (6.0, 3)


def test_a_target_is_only_seen_where_the_model_is_evaluated() -> None:
    target = Target(metric="accuracy", value=0.3)
    plan = EvaluationPlan(every_s=5.0)
    learner = FixedWorkload(metrics=learning)
    run = simulate(computing(1.0), devices=1, learner=learner, evaluation=plan, target=target, rounds=99)
    assert (run.reason, run.server.view.time_s) == ("target", 5.0)


def test_a_target_that_the_initial_model_meets_ends_the_run_before_anything_is_dispatched() -> None:
    learner = FixedWorkload(metrics=learning)
    run = simulate(computing(1.0), devices=1, learner=learner, target=Target(metric="accuracy", value=0.0))
    assert (run.reason, rows(run), run.column("device")) == ("target", [(0.0, 0)], [])


def test_a_target_that_nobody_measures_is_refused_by_name() -> None:
    learner = FixedWorkload(metrics=learning)
    with pytest.raises(RunFailed, match=r'no metric "acuracy" in this run; did you mean "accuracy"\?'):
        simulate(computing(1.0), devices=1, learner=learner, target=Target(metric="acuracy", value=0.5))


def test_whichever_comes_first_ends_a_run() -> None:
    assert simulate(computing(2.0), devices=1, rounds=2, time_s=9.0).reason == "rounds"
    assert simulate(computing(2.0), devices=1, rounds=9, time_s=2.5).reason == "time"


def test_a_run_is_evaluated_at_its_beginning_and_at_its_end() -> None:
    assert rows(simulate(computing(2.0), devices=1, rounds=3)) == [(0.0, 0), (6.0, 3)]


def test_evaluation_every_other_round_and_at_the_end() -> None:
    run = simulate(computing(2.0), devices=1, evaluation=EvaluationPlan(every_rounds=2), rounds=5)
    assert rows(run) == [(0.0, 0), (4.0, 2), (8.0, 4), (10.0, 5)]


def test_an_evaluation_that_falls_on_the_end_is_written_once() -> None:
    run = simulate(computing(2.0), devices=1, evaluation=EvaluationPlan(every_rounds=2), rounds=4)
    assert rows(run) == [(0.0, 0), (4.0, 2), (8.0, 4)]


def test_evaluation_in_virtual_time_asks_the_learner_only_about_new_versions() -> None:
    learner = FixedWorkload(metrics=learning)
    run = simulate(
        computing(5.0), devices=1, learner=learner, evaluation=EvaluationPlan(every_s=2.0), time_s=9.0
    )
    assert rows(run) == [(0.0, 0), (2.0, 0), (4.0, 0), (6.0, 1), (8.0, 1), (9.0, 1)]
    assert learner.calls["evaluate"] == 2
    assert run.tables.evaluations["accuracy"] == [0.0, 0.0, 0.0, 0.1, 0.1, 0.1]


def test_times_of_evaluation_do_not_drift() -> None:
    run = simulate(computing(7.0), devices=1, evaluation=EvaluationPlan(every_s=0.1), time_s=10.0)
    assert run.tables.evaluations["time_s"] == [i * 0.1 for i in range(101)]


def test_metrics_are_null_where_nothing_is_trained() -> None:
    run = simulate(computing(1.0), devices=1)
    assert run.tables.evaluations == {
        "time_s": [0.0, 1.0],
        "version": [0, 1],
        "loss": [None, None],
        "accuracy": [None, None],
    }


def test_other_metrics_of_a_dataset_become_columns() -> None:
    learner = FixedWorkload(metrics=lambda version: {"loss": 1.0, "gap": float(version)})
    run = simulate(computing(1.0), devices=1, learner=learner)
    assert list(run.tables.evaluations) == ["time_s", "version", "loss", "accuracy", "gap"]
    assert run.tables.evaluations["gap"] == [0.0, 1.0]


def test_losses_are_asked_for_once_at_the_end() -> None:
    assert simulate(computing(1.0, 2.0), devices=2, rounds=5).learner.calls["losses"] == 1
