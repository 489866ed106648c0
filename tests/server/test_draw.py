"""Uniform draws from a large fleet."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgesim.rng import Streams
from edgesim.server.draw import draw_distinct


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
