"""As many devices of each class."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.selection.balanced import Balanced
from edgesim.server.roster import Roster
from tests.fakes import Run, Shifts, computing, simulate


def fleet(*sizes: int) -> Roster:
    group = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    names = tuple(f"class-{number}" for number in range(len(sizes)))
    return replace(Roster.alike(sum(sizes)), profiles=names, group=group)


def run_of(roster: Roster, k: int, rounds: int, **settings) -> Run:
    return simulate(
        computing(*[1.0] * len(roster)),
        devices=len(roster),
        roster=roster,
        policy=Synchronous(clients_per_round=k),
        selector=Balanced(),
        rounds=rounds,
        **settings,
    )


def per_round(run: Run, k: int) -> list[Counter[str]]:
    names = run.column("profile")
    return [Counter(names[begin : begin + k]) for begin in range(0, len(names), k)]


def test_every_class_has_the_same_share_however_large_it_is() -> None:
    run = run_of(fleet(100, 10, 4), k=6, rounds=5)
    assert per_round(run, 6) == [Counter({"class-0": 2, "class-1": 2, "class-2": 2})] * 5


def test_remainders_go_round() -> None:
    run = run_of(fleet(9, 9, 9), k=4, rounds=3)
    assert per_round(run, 4) == [
        Counter({"class-0": 2, "class-1": 1, "class-2": 1}),
        Counter({"class-0": 1, "class-1": 2, "class-2": 1}),
        Counter({"class-0": 1, "class-1": 1, "class-2": 2}),
    ]


def test_what_a_class_cannot_fill_goes_to_the_others() -> None:
    run = run_of(fleet(1, 8, 8), k=9, rounds=1)
    assert per_round(run, 9) == [Counter({"class-0": 1, "class-1": 4, "class-2": 4})]


def test_what_absent_devices_leave_goes_to_the_others() -> None:
    away = [float("inf")] * 3 + [0.0] * 9
    run = run_of(fleet(4, 8), k=6, rounds=1, presence=Shifts(10.0, 20.0, away))
    assert per_round(run, 6) == [Counter({"class-0": 1, "class-1": 5})]


def test_one_by_one_the_classes_take_turns() -> None:
    run = simulate(
        computing(*[1.0] * 6),
        devices=6,
        roster=fleet(3, 3),
        policy=Asynchronous(concurrency=1),
        selector=Balanced(),
        rounds=6,
    )
    assert run.column("profile")[:6] == ["class-0", "class-1"] * 3


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 30))
def test_all_places_are_filled_as_long_as_there_are_devices(sizes: list[int], k: int) -> None:
    run = run_of(fleet(*sizes), k, rounds=2)
    assert run.tables.aggregations["updates"] == [min(k, sum(sizes))] * 2


@pytest.mark.parametrize("of_class", [0, 1])
def test_within_a_class_every_device_is_sent_out_equally_often(of_class: int) -> None:
    run = run_of(fleet(5, 5), k=2, rounds=4_000)
    counted = Counter(device for device in run.column("device") if device // 5 == of_class)
    expected = 4_000 / 5
    statistic = sum((count - expected) ** 2 / expected for count in counted.values())
    assert statistic < stats.chi2.ppf(0.999, df=4)


def test_classes_of_one_size_are_drawn_independently() -> None:
    devices = np.array(run_of(fleet(5, 5), k=2, rounds=4_000).column("device")).reshape(-1, 2)
    alike = int((devices.min(axis=1) + 5 == devices.max(axis=1)).sum())
    assert alike == pytest.approx(800, abs=3 * np.sqrt(4_000 * 0.2 * 0.8))
