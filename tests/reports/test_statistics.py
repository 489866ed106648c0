"""Medians, intervals and speed-ups over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.reports._statistics import BOOTSTRAP_FROM, Spread, speedup, spread

NEVER = math.inf

times_s = st.one_of(st.floats(min_value=1e-3, max_value=1e9), st.just(NEVER))
by_seed = st.dictionaries(st.integers(min_value=1, max_value=9), times_s, max_size=9)


def test_below_six_values_the_interval_is_the_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_a_run_that_never_arrives_counts_as_later_than_all_others() -> None:
    assert spread([50.0, NEVER, 40.0]) == Spread(50.0, 40.0, NEVER)
    assert spread([50.0, NEVER, NEVER]) == Spread(NEVER, 50.0, NEVER)


def test_where_half_of_the_runs_never_arrive_the_median_is_infinite() -> None:
    assert spread([50.0, NEVER]).median == NEVER


@given(st.lists(times_s, min_size=1, max_size=BOOTSTRAP_FROM + 4))
def test_the_interval_contains_the_median(values: list[float]) -> None:
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


@given(st.lists(times_s, min_size=1, max_size=5), st.data())
def test_a_run_that_gets_slower_never_lowers_the_median(values: list[float], data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=len(values) - 1))
    slower = [NEVER if i == index else value for i, value in enumerate(values)]
    assert spread(slower).median >= spread(values).median


def test_the_bootstrap_interval_of_the_median_covers_as_often_as_it_says() -> None:
    """The median of an exponential law is ln 2; 400 experiments of 15, within three standard errors."""
    draws = np.random.default_rng(1).exponential(size=(400, 15))
    intervals = [spread(row.tolist()) for row in draws]
    covered = np.mean([found.low <= math.log(2) <= found.high for found in intervals])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 400))


def test_equal_values_give_equal_intervals() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 8.0, NEVER, 3.0]
    assert spread(values) == spread(values[::-1])


def test_speed_up_is_the_median_of_the_ratios_seed_by_seed() -> None:
    baseline_s = {1: 10.0, 2: 100.0, 3: 60.0}
    variant_s = {3: 20.0, 1: 5.0, 2: 25.0}
    assert speedup(baseline_s, variant_s) == 3.0  # of 2, 4 and 3; unpaired medians would give 60 / 20
    assert speedup({1: 10.0, 2: 100.0}, {1: 100.0, 2: 10.0}) == pytest.approx((0.1 + 10.0) / 2)


def test_seeds_that_only_one_variant_has_are_left_out() -> None:
    assert speedup({1: 10.0, 2: 1.0}, {1: 5.0, 3: 1.0}) == 2.0


def test_a_seed_at_which_neither_arrived_tells_nothing() -> None:
    assert speedup({1: 10.0, 2: NEVER}, {1: 5.0, 2: NEVER}) == 2.0


def test_arriving_where_the_baseline_never_does_counts_as_infinitely_faster() -> None:
    assert speedup({1: 10.0, 2: NEVER, 3: 20.0}, {1: 5.0, 2: 7.0, 3: 4.0}) == 5.0  # of 2, infinite, 5


def test_never_arriving_where_the_baseline_does_counts_as_infinitely_slower() -> None:
    assert speedup({1: 10.0, 2: 10.0, 3: 20.0}, {1: 5.0, 2: NEVER, 3: 4.0}) == 2.0  # of 2, 0, 5


@pytest.mark.parametrize(
    ("baseline_s", "variant_s"),
    [
        ({}, {}),
        ({1: 1.0}, {2: 1.0}),
        ({1: NEVER}, {1: NEVER}),
        ({1: NEVER}, {1: 1.0}),
        ({1: 1.0}, {1: NEVER}),
    ],
    ids=["no runs", "no common seed", "neither arrived", "baseline never", "variant never"],
)
def test_there_is_no_speed_up_where_there_is_no_number(
    baseline_s: dict[int, float], variant_s: dict[int, float]
) -> None:
    assert speedup(baseline_s, variant_s) is None


@given(by_seed)
def test_nothing_is_faster_than_itself(seconds: dict[int, float]) -> None:
    expected = 1.0 if any(map(math.isfinite, seconds.values())) else None
    assert speedup(seconds, seconds) == expected


@given(by_seed, by_seed, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(
    baseline_s: dict[int, float], variant_s: dict[int, float], random: st.random.Random
) -> None:
    shuffled = list(variant_s.items())
    random.shuffle(shuffled)
    assert speedup(baseline_s, dict(shuffled)) == speedup(baseline_s, variant_s)
