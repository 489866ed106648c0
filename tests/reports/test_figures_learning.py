"""The values behind the curves: medians over seeds by hand, arrivals, thinning, gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgesim.reports import figures
from edgesim.reports.figures._curves import Steps, over_seeds, thinned
from edgesim.results.run import RunResult
from tests.reports.figured import learning, run, theory

A = learning("a", 1, [0, 2, 4], [0.1, 0.5, 0.9])  # arrives at 4
B = learning("a", 2, [0, 3], [0.1, 0.8])  # arrives at 3, and ends there
C = learning("a", 3, [0, 6], [0.1, 0.2])  # never arrives


def curve(*runs: RunResult) -> dict[str, list[float]]:
    frame = figures.figure("learning_curve").data(runs)
    assert frame is not None
    return frame[["time_s", "value", "low", "high"]].to_dict("list")


def test_the_median_holds_each_value_until_the_next_and_the_last_one_to_the_end() -> None:
    assert curve(A, B, C) == {
        "time_s": [0, 2, 3, 4, 6],
        "value": [0.1, 0.1, 0.5, 0.8, 0.8],
        "low": [0.1, 0.1, 0.1, 0.1, 0.2],
        "high": [0.1, 0.5, 0.8, 0.9, 0.9],
    }


def test_the_median_curve_meets_the_target_when_the_median_run_arrives() -> None:
    frame = figures.figure("learning_curve").data([A, B, C])
    assert frame is not None
    meets_s = frame.loc[frame["value"] >= frame["target"], "time_s"].iloc[0]
    assert frame["arrival_s"].unique().tolist() == [meets_s] == [4]


def test_there_is_no_arrival_where_most_runs_never_arrive() -> None:
    frame = figures.figure("learning_curve").data([A, C, learning("a", 4, [0, 1], [0.1, 0.2])])
    assert frame is not None
    assert frame["arrival_s"].isna().all()


def test_a_run_that_begins_to_know_later_delays_the_curve() -> None:
    late = learning("a", 4, [0, 5], [0.1, 0.3])
    late.tables["evaluations"].loc[0, "accuracy"] = math.nan
    assert curve(A, late)["time_s"] == [5]


def test_without_accuracy_the_loss_is_drawn_and_one_that_is_no_number_counts_as_infinite() -> None:
    runs = [
        run("a", seed, evaluations={"accuracy": [None] * 3, "loss": [2.0, loss, None]})
        for seed, loss in ((1, 1.0), (2, 1.5))
    ]
    frame = figures.figure("learning_curve").data(runs)
    assert frame is not None
    assert frame["metric"].unique().tolist() == ["loss"]
    assert frame["value"].tolist()[:2] == [2.0, 1.25]
    assert math.isnan(frame["value"].iloc[2])
    assert frame["target"].isna().all()


def test_variants_keep_the_order_in_which_they_were_given() -> None:
    frame = figures.figure("learning_curve").data([learning(name, 1, [0, 1], [0.1, 0.2]) for name in "zab"])
    assert frame is not None
    assert frame["variant"].unique().tolist() == ["z", "a", "b"]


def test_thinning_keeps_what_a_drawing_shows() -> None:
    at = np.arange(100_000.0)
    value = np.sin(at / 7)
    value[12_345], value[54_321] = 5.0, -5.0
    kept = thinned(at, value)
    assert len(kept) <= 400
    assert {0, 12_345, 54_321, 99_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_few_points_are_all_kept() -> None:
    assert thinned(np.arange(5.0), np.zeros(5)).tolist() == [0, 1, 2, 3, 4]


def test_many_evaluations_give_a_short_curve_that_is_right_where_it_has_points() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 5000))
    curves = [Steps(np.arange(5000.0), values) for values in noise]
    frame = over_seeds(curves)
    assert len(frame) <= 400
    at = frame["at"].astype(int)
    assert frame["value"].tolist() == pytest.approx(np.median(noise, axis=0)[at])
    assert frame["low"].tolist() == pytest.approx(noise.min(axis=0)[at])


def test_gaps_are_medians_over_seeds_by_version() -> None:
    frame = figures.figure("gap").data(
        [theory("a", seed, [1.0, gap, 0.0]) for seed, gap in ((1, 0.1), (2, 0.3))]
    )
    assert frame is not None
    assert frame["version"].tolist() == [0, 1, 2]
    assert frame["value"].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert (frame["low"].iloc[1], frame["high"].iloc[1]) == (0.1, 0.3)


def test_closed_forms_are_drawn_dashed_below_the_runs_that_have_one_with_one_entry_in_the_legend() -> None:
    runs = [theory("a", 1, [1.0, 0.3, 0.2]), theory("b", 1, [1.0, 0.2, 0.1], [1.0, 0.1, None])]
    frame = figures.figure("gap").data(runs)
    assert frame is not None
    assert frame["closed_form"].tolist() == pytest.approx([np.nan] * 3 + [1.0, 0.1, np.nan], nan_ok=True)
    drawn = figures.draw("gap", runs)
    dashed = [trace for trace in drawn.data if trace.line.dash == "dash"]
    assert [trace.showlegend is not False for trace in dashed] == [False, False, True]
    assert dashed[1].line.color == drawn.data[-1].line.color
    sheet = figures.paint("gap", runs)
    assert [text.get_text() for text in sheet.legends[0].get_texts()] == ["a", "b", "closed form"]


def test_of_seeds_with_starts_of_their_own_the_closed_form_is_the_median() -> None:
    frame = figures.figure("gap").data(
        [theory("a", seed, [1.0, 0.5], [at, at / 2]) for seed, at in ((1, 1.0), (2, 3.0))]
    )
    assert frame is not None
    assert frame["closed_form"].tolist() == [2.0, 1.0]


def test_gaps_of_nothing_and_below_are_drawn_at_the_rounding_error() -> None:
    drawn = figures.draw("gap", [theory("a", 1, [2.0, 0.0, -1e-17])])
    assert list(drawn.data[-1].y) == [2.0, 2e-16, 2e-16]
