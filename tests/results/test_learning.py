"""Whether the model learnt, by the training losses of merged visits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from edgesim.results.learning import LossTrend, loss_trend


def merged(losses: Sequence[float | None], per_aggregation: int = 1) -> pd.DataFrame:
    """Visits of rounds of so many, in this order."""
    count = len(losses)
    return pd.DataFrame(
        {
            "outcome": ["aggregated"] * count,
            "base_version": [visit // per_aggregation for visit in range(count)],
            "staleness": pd.array([0] * count, dtype="Int64"),
            "train_loss": pd.Series(losses, dtype="float64"),
        }
    )


def test_two_rounds_are_held_against_each_other_by_their_medians() -> None:
    losses = [3.0, 2.0, 9.0, 1.5, 1.0, 8.0]
    assert loss_trend(merged(losses, 3)) == LossTrend(first=3.0, last=1.5, aggregations=1)


def test_the_first_tenth_is_held_against_the_last() -> None:
    rounds = [value for value in range(20, 0, -1) for _ in range(10)]
    assert loss_trend(merged(rounds, 10)) == LossTrend(first=19.5, last=1.5, aggregations=2)


def test_as_many_aggregations_are_taken_as_make_ten_visits() -> None:
    assert loss_trend(merged([float(value) for value in range(100, 0, -1)])) == LossTrend(95.5, 5.5, 10)
    assert loss_trend(merged([float(value) for value in range(8, 0, -1)])) == LossTrend(6.5, 2.5, 4)


def test_a_stale_update_counts_where_it_was_merged() -> None:
    visits = merged([2.0, 1.0, 5.0])
    visits.loc[2, ["base_version", "staleness"]] = [0, 0]
    assert loss_trend(visits) == LossTrend(first=3.5, last=1.0, aggregations=1)


def test_a_loss_that_stays_the_same_does_not_fall() -> None:
    trend = loss_trend(merged([2.0] * 4, 2))
    assert trend is not None
    assert not trend.falls


def test_one_odd_device_does_not_hide_that_a_model_learnt() -> None:
    trend = loss_trend(merged([2.0, 2.0, 2.0, 1.0, 1.0, 1e9], 3))
    assert trend is not None
    assert trend.falls


def test_a_model_that_diverges_to_no_number_did_not_learn() -> None:
    trend = loss_trend(merged([2.0, 2.0, None, None], 2))
    assert trend == LossTrend(first=2.0, last=float("inf"), aggregations=1)
    assert not trend.falls


def test_nothing_is_known_without_losses_or_with_one_aggregation() -> None:
    assert loss_trend(merged([None, None])) is None
    assert loss_trend(merged([2.0, 1.0], 2)) is None
