"""Draws from a large fleet."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgesim.rng import Streams
from edgesim.server.draw import draw_distinct, draw_in_proportion


def test_every_ordered_choice_among_the_idle_is_equally_likely() -> None:
    idle, draws = [1, 2, 4, 5], 12_000
    counted = Counter(
        tuple(draw_distinct(Streams(5), (i, 0), 2, 6, lambda them: [d for d in them if d in idle]))
        for i in range(draws)
    )
    observed = [counted[pair] for pair in permutations(idle, 2)]
    assert sum(observed) == draws
    statistic = sum((count - draws / 12) ** 2 / (draws / 12) for count in observed)
    assert statistic < stats.chi2.ppf(0.999, df=11)


@pytest.mark.parametrize("devices", [1_000, 1_000_000])
def test_its_cost_is_the_number_wanted_over_the_share_that_is_idle(devices: int) -> None:
    steps: list[int] = []
    for draw in range(200):
        seen: list[int] = []

        def accepted(them: list[int], seen: list[int] = seen) -> list[int]:
            seen.extend(them)
            return [device for device in them if device % 2 == 0]

        draw_distinct(Streams(9), (draw, 0), 100, devices, accepted)
        steps.append(len(seen))
    # 200 are needed on average; the walk goes in blocks of 133 and 266.
    assert 200 <= np.mean(steps) <= 133 + 266


@given(st.integers(1, 40), st.integers(0, 50), st.sets(st.integers(0, 39)))
def test_it_gives_distinct_accepted_devices_and_all_of_them_where_they_are_too_few(
    devices: int, k: int, busy: set[int]
) -> None:
    drawn = draw_distinct(Streams(1), (0, 0), k, devices, lambda them: [d for d in them if d not in busy])
    idle = set(range(devices)) - busy
    assert len(drawn) == len(set(drawn)) == min(k, len(idle))
    assert set(drawn) <= idle


def test_a_device_that_becomes_busy_leaves_the_others_where_they_were() -> None:
    everybody = draw_distinct(Streams(1), (3, 0), 20, 20, list)
    without = draw_distinct(Streams(1), (3, 0), 20, 20, lambda them: [d for d in them if d != 7])
    assert without == [device for device in everybody if device != 7]


WEIGHTS = np.array([1, 2, 5, 0])


@pytest.mark.parametrize("tries_find_somebody", [True, False])
def test_in_proportion_each_is_drawn_by_its_weight_among_those_left(tries_find_somebody: bool) -> None:
    def accepted(them: list[int] | None) -> list[int]:
        return [0, 1, 2] if them is None else them if tries_find_somebody else []

    draws = 6_000
    counted = Counter(
        tuple(draw_in_proportion(Streams(5), (i, 0), 2, WEIGHTS, WEIGHTS.cumsum(), accepted))
        for i in range(draws)
    )
    chance = {(a, b): WEIGHTS[a] / 8 * WEIGHTS[b] / (8 - WEIGHTS[a]) for a, b in permutations(range(3), 2)}
    assert set(counted) == set(chance)
    statistic = sum((counted[pair] - draws * p) ** 2 / (draws * p) for pair, p in chance.items())
    assert statistic < stats.chi2.ppf(0.999, df=5)


@given(st.integers(1, 6), st.sets(st.integers(0, 3)))
def test_in_proportion_it_gives_distinct_accepted_devices_and_all_where_they_are_too_few(
    k: int, busy: set[int]
) -> None:
    def accepted(them: list[int] | None) -> list[int]:
        return [device for device in (range(4) if them is None else them) if device not in busy]

    drawn = draw_in_proportion(Streams(1), (0, 0), k, WEIGHTS, WEIGHTS.cumsum(), accepted)
    assert len(drawn) == len(set(drawn)) == min(k, 4 - len(busy))
    assert not set(drawn) & busy
