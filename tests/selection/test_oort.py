"""Devices that teach the model most per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.learner import Order
from edgesim.selection.oort import _VISIT, Oort
from edgesim.server.policy import Policy
from edgesim.server.roster import Roster
from tests.fakes import FixedWorkload, Run, computing, simulate


def run_of(
    selector: Oort,
    policy: Policy,
    rounds: int,
    *,
    devices: int = 10,
    seconds: Sequence[float] | None = None,
    samples: Sequence[int] | None = None,
    loss: Callable[[Order], float] = lambda order: 1.0,  # noqa: ARG005
) -> Run:
    seconds = seconds or [1.0] * devices
    roster = replace(
        Roster.alike(devices), samples=np.array(samples or [1] * devices), expected_s=np.array(seconds)
    )
    return simulate(
        computing(*seconds),
        devices=devices,
        roster=roster,
        policy=policy,
        selector=selector,
        learner=FixedWorkload(loss=loss),
        rounds=rounds,
    )


def visits(*rows: tuple[int, int, float, float]) -> np.ndarray:
    """Visits by device, round, seconds and utility."""
    return np.array(list(rows), dtype=_VISIT)


def test_a_score_is_the_normalised_utility_plus_a_term_that_grows_with_absence() -> None:
    latest = visits((0, 4, 1.0, 10.0), (1, 1, 1.0, 20.0), (2, 4, 1.0, 30.0))
    old, older = np.sqrt(0.1 * np.log(5) / 4), np.sqrt(0.1 * np.log(5) / 1)
    assert Oort()._scores(latest, np.inf, 5).tolist() == pytest.approx([0.0 + old, 0.5 + older, 1.0 + old])


def test_utilities_above_their_98th_percentile_are_clipped() -> None:
    latest = visits(*[(device, 1, 1.0, float(device)) for device in range(100)])
    scores = Oort()._scores(latest, np.inf, 2)
    assert scores[99] == scores[98] > scores[97]


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0, 4))
def test_who_is_slower_than_preferred_is_penalised_and_nobody_else(
    seconds: float, preferred_s: float, penalty: float
) -> None:
    (factor,) = Oort(penalty=penalty)._penalty(np.array([seconds]), preferred_s)
    assert factor == pytest.approx(min(1.0, preferred_s / seconds) ** penalty)
    assert factor <= 1


def test_the_preferred_duration_is_a_percentile_of_those_seen() -> None:
    seconds = np.arange(1.0, 101.0)
    none = visits()
    assert Oort(percentile=10.0)._preferred_s(none, seconds, 0) == 11.0
    assert Oort(percentile=100.0)._preferred_s(none, seconds, 0) == np.inf
    assert Oort()._preferred_s(none, np.array([]), 0) == np.inf


def repeated(*utility_of_round: float) -> np.ndarray:
    """Visits of one device, a round each, after a first one that explored it."""
    rows = [(0, number, 1.0, utility) for number, utility in enumerate((9.0, *utility_of_round), start=1)]
    return visits(*rows)


@pytest.mark.parametrize(
    ("utility", "percentile"),
    [
        ((2.0, 4.0, 4.0, 4.0, 4.4), 55.0),  # windows 2, 8, 8.4: fourfold, then hardly changed
        ((1.0, 9.0, 9.0), 45.0),  # windows 1, 18: eighteenfold
        ((6.0, 3.0, 4.0), 50.0),  # windows 6, 7
    ],
)
def test_the_pacer_prefers_longer_visits_where_utility_stagnates_and_shorter_where_it_leaps(
    utility: tuple[float, ...], percentile: float
) -> None:
    selector = Oort(pacer_step=2, pacer_delta=5.0, percentile=50.0)
    seconds = np.arange(100.0)
    found = selector._preferred_s(repeated(*utility), seconds, rounds=len(utility) + 1)
    assert found == percentile


def test_before_anything_is_known_devices_are_explored_in_proportion_to_samples() -> None:
    samples = [1, 1, 1, 1, 16]
    drawn = Counter(
        simulate(
            computing(*[1.0] * 5),
            devices=5,
            roster=replace(Roster.alike(5), samples=np.array(samples)),
            policy=Synchronous(clients_per_round=1),
            selector=Oort(),
            seed=seed,
        ).column("device")[0]
        for seed in range(400)
    )
    assert drawn[4] / 400 == pytest.approx(0.8, abs=3 * np.sqrt(0.8 * 0.2 / 400))


def test_where_everybody_is_known_places_go_to_high_utility() -> None:
    policy = Synchronous(clients_per_round=2)
    run = run_of(Oort(), policy, 300, loss=lambda order: 9.0 if order.device < 2 else 1.0)
    counted = Counter(run.column("device")[200:])
    assert min(counted[0], counted[1]) > 2 * max(counted[device] for device in range(2, 10))


def test_of_equal_utilities_the_fast_ones_are_preferred() -> None:
    seconds = [1.0] * 5 + [10.0] * 5
    selector = Oort(percentile=40.0, pacer_step=1_000)
    run = run_of(selector, Synchronous(clients_per_round=2), 200, seconds=seconds)
    counted = Counter(device < 5 for device in run.column("device")[100:])
    assert counted[True] > 5 * counted[False]


def test_exploration_takes_its_share_of_the_places_and_falls_to_its_floor() -> None:
    selector = Oort(exploration=0.5, exploration_decay=0.5, exploration_floor=0.1)
    run = run_of(selector, Synchronous(clients_per_round=10), 60, devices=1_000)
    seen: set[int] = set()
    new = []
    for begin in range(0, 600, 10):
        sent = set(run.column("device")[begin : begin + 10])
        new.append(len(sent - seen))
        seen |= sent
    assert new[0] == 10  # nobody is known
    share = np.mean(new[10:]) / 10
    assert share == pytest.approx(0.1, abs=3 * np.sqrt(0.1 * 0.9 / 500))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_it_picks_as_many_distinct_devices_as_are_asked_for(k: int, devices: int, salt: int) -> None:
    seconds = [1.0 + (salt * device) % 7 for device in range(devices)]
    run = run_of(
        Oort(),
        Synchronous(clients_per_round=k),
        25,
        devices=devices,
        seconds=seconds,
        loss=lambda order: float((order.device * salt + order.visit) % 5),
    )
    assert run.tables.aggregations["updates"] == [min(k, devices)] * 25


def test_it_composes_with_asynchronous_federations() -> None:
    run = run_of(Oort(), Asynchronous(concurrency=3), 200, loss=lambda order: 1.0 + order.device)
    counted = Counter(run.column("device")[100:])
    assert counted[9] > counted[0]
