"""A run in brief, against the hand-computed numbers of the golden run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from edgesim.results.files import to_json
from edgesim.results.summary import seconds_to_target, summarise
from tests.results.golden_run import CONTEXT, all_tables, table, timing_only


def summary_with(**changes: pd.DataFrame) -> dict[str, Any]:
    return summarise({**all_tables(), **changes}, CONTEXT)


def warnings_of(losses: Sequence[float | None]) -> list[str]:
    warnings: list[str] = summary_with(evaluations=table("evaluations", loss=losses))["warnings"]
    return [warning for warning in warnings if "learn" in warning]


def test_the_golden_run_in_brief() -> None:
    assert summarise(all_tables(), CONTEXT) == {
        "reason": "target",
        "virtual_s": 10.0,
        "aggregations": 2,
        "target": {"accuracy": 0.8},
        "target_reached": True,
        "seconds_to_target": 10.0,
        "final": {"time_s": 10.0, "version": 2, "loss": 0.5, "accuracy": 0.85},
        "best": {"loss": 0.5, "accuracy": 0.85},
        "bytes_down": 600,
        "bytes_up": 250,
        "energy_j": 60.0,
        "idle_j": 24.0,
        "visits_of_known_energy": 6,
        "compute_s": 8.5,
        "wasted_compute_s": 4.0,
        "dispatched": 6,
        "outcomes": {
            "aggregated": 2,
            "late": 1,
            "discarded": 0,
            "dropped": 1,
            "out_of_memory": 1,
            "cancelled": 0,
            "rejected": 0,
            "unfinished": 1,
        },
        "cost_basis": {"measured": 3, "estimated": 2},
        "participation": {
            "fast": {
                "devices": 2,
                "dispatched": 4,
                "aggregated": 2,
                "late": 0,
                "out_of_memory": 0,
                "visit_s": 4.25,
            },
            "slow": {
                "devices": 1,
                "dispatched": 1,
                "aggregated": 0,
                "late": 1,
                "out_of_memory": 0,
                "visit_s": 8.0,
            },
            "tiny": {
                "devices": 1,
                "dispatched": 1,
                "aggregated": 0,
                "late": 0,
                "out_of_memory": 1,
                "visit_s": None,
            },
        },
        "grown": 2,
        "too_large": 1,
        "warnings": [
            "slow: no update of its visits (1) was aggregated",
            "tiny: every visit (1) ran out of memory; give it a smaller sub-model",
            "growth: 1 larger sub-models did not fit in memory; their devices stayed as they were",
        ],
        "wall_s": {"total": 1.5},
    }


@pytest.mark.parametrize(
    ("metric", "value", "seconds"),
    [
        ("accuracy", 0.6, 5.0),
        ("accuracy", 0.61, 10.0),
        ("accuracy", 0.9, None),
        ("loss", 1.0, 5.0),
        ("loss", 2.5, 0.0),
        ("loss", 0.4, None),
    ],
)
def test_seconds_to_target_are_those_of_the_first_evaluation_at_or_beyond_it(
    metric: str, value: float, seconds: float | None
) -> None:
    assert seconds_to_target(table("evaluations"), metric, value) == seconds


def test_a_model_that_falls_back_later_has_still_reached_the_target() -> None:
    evaluations = table("evaluations", accuracy=[0.1, 0.9, 0.7])
    found = summary_with(evaluations=evaluations)
    assert found["seconds_to_target"] == 5.0
    assert found["best"]["accuracy"] == 0.9


def test_a_missed_target_is_null_and_said() -> None:
    found = summarise(all_tables(), replace(CONTEXT, target={"accuracy": 0.9}))
    assert (found["target_reached"], found["seconds_to_target"]) == (False, None)
    assert found["warnings"][-1] == "the target, accuracy 0.9, was not reached; the best was 0.85"


def test_without_training_the_target_is_unknown_and_not_missed() -> None:
    summary = timing_only().summary
    assert (summary["target_reached"], summary["seconds_to_target"]) == (None, None)
    assert summary["final"]["accuracy"] is None
    assert not any("target" in warning or "learn" in warning for warning in summary["warnings"])


def test_one_visit_of_unknown_energy_makes_the_sum_unknown() -> None:
    found = summary_with(dispatches=table("dispatches", energy_j=[10.0, None, 2.0, 11.0, 4.0, 3.0]))
    assert (found["energy_j"], found["visits_of_known_energy"], found["dispatched"]) == (None, 5, 6)


@pytest.mark.parametrize("last", [2.3, 2.4, float("inf"), None])
def test_a_loss_that_is_not_lower_at_the_end_did_not_learn(last: float | None) -> None:
    (warning,) = warnings_of([2.3, 1.0, last])
    assert warning.startswith("the model did not learn: loss was 2.3 at first and is ")


def test_a_loss_that_is_lower_at_the_end_has_learnt() -> None:
    assert warnings_of([2.3, 2.4, 2.2]) == []


def test_the_training_loss_is_watched_too() -> None:
    found = summary_with(evaluations=table("evaluations", train_loss=[1.0, 1.1, 1.2]))
    assert "the model did not learn: train_loss was 1 at first and is 1.2 at the end" in found["warnings"]


def test_a_training_loss_of_visits_that_does_not_fall_is_said() -> None:
    found = summary_with(dispatches=table("dispatches", train_loss=[0.9, None, None, 0.9, None, None]))
    assert found["warnings"][0] == (
        "the model did not learn: the training loss was 0.9 in the first aggregation and 0.9 in the last"
    )


def test_one_device_of_unknown_idle_power_makes_the_idle_joules_unknown() -> None:
    assert summary_with(devices=table("devices", idle_j=[3.0, None, 4.0, 6.0]))["idle_j"] is None


def test_a_run_that_merged_nothing_says_so_once() -> None:
    nothing = all_tables()["aggregations"].iloc[:0]
    found = summary_with(aggregations=nothing, dispatches=all_tables()["dispatches"].iloc[1:3])
    assert found["warnings"] == ["nothing was aggregated: the model is as it was at the beginning"]


def test_a_device_class_that_was_never_asked_is_counted_and_named() -> None:
    found = summarise(all_tables(), replace(CONTEXT, devices={"fast": 2, "idle": 3}))
    assert found["participation"]["idle"]["dispatched"] == 0
    assert "idle: none of its devices (3) was ever asked" in found["warnings"]


def test_notes_from_building_the_run_come_first() -> None:
    found = summarise(all_tables(), replace(CONTEXT, notes=("samples are drawn with replacement",)))
    assert found["warnings"][0] == "samples are drawn with replacement"


def test_a_diverged_run_still_has_a_summary_that_json_can_hold() -> None:
    evaluations = table("evaluations", loss=[2.3, float("inf"), None])
    assert '"loss": null' in to_json(summary_with(evaluations=evaluations))
