"""Of some candidates those with the largest loss."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.selection.power_of_choice import PowerOfChoice
from edgesim.server.policy import Policy
from edgesim.server.roster import Roster
from tests.fakes import FixedWorkload, Run, computing, simulate


def run_of(policy: Policy, candidates: int, rounds: int, samples=(1,) * 6, **settings) -> Run:
    return simulate(
        computing(*[1.0] * len(samples)),
        devices=len(samples),
        roster=replace(Roster.alike(len(samples)), samples=np.array(samples)),
        policy=policy,
        selector=PowerOfChoice(candidates=candidates),
        learner=FixedWorkload(loss=lambda order: float(order.device)),
        rounds=rounds,
        **settings,
    )


def test_whose_loss_is_not_known_goes_first_and_then_the_largest() -> None:
    run = run_of(Synchronous(clients_per_round=2), candidates=6, rounds=5)
    rounds = [set(run.column("device")[begin : begin + 2]) for begin in range(0, 10, 2)]
    assert set.union(*rounds[:3]) == set(range(6))
    assert rounds[3:] == [{4, 5}, {4, 5}]


def test_only_candidates_are_sent_out() -> None:
    """Of d = 2 of 6 equally likely candidates the larger one is device i in 2 i / 30 of all cases."""
    run = run_of(Synchronous(clients_per_round=1), candidates=2, rounds=4_000)
    counted = Counter(run.column("device")[100:])
    expected = {device: 3_900 * 2 * device / 30 for device in range(1, 6)}
    statistic = sum((counted[device] - wanted) ** 2 / wanted for device, wanted in expected.items())
    assert statistic < stats.chi2.ppf(0.999, df=4)
    assert counted[0] == 0


def test_one_candidate_is_drawn_in_proportion_to_its_samples() -> None:
    samples = (1, 2, 3, 4, 0, 10)
    run = run_of(Synchronous(clients_per_round=1), candidates=1, rounds=4_000, samples=samples)
    counted = Counter(run.column("device"))
    expected = {device: 4_000 * count / 20 for device, count in enumerate(samples) if count}
    statistic = sum((counted[device] - wanted) ** 2 / wanted for device, wanted in expected.items())
    assert statistic < stats.chi2.ppf(0.999, df=4)
    assert counted[4] == 0


def test_the_second_candidate_is_drawn_in_proportion_to_samples_among_those_left() -> None:
    """The smaller of two candidates is never sent out but once it is the only one: here both are."""
    samples = (1, 2, 5)
    run = run_of(Synchronous(clients_per_round=2), candidates=2, rounds=4_000, samples=samples)
    pairs = Counter(frozenset(run.column("device")[begin : begin + 2]) for begin in range(0, 8_000, 2))
    chance = {
        frozenset({a, b}): samples[a] / 8 * samples[b] / (8 - samples[a])
        + samples[b] / 8 * samples[a] / (8 - samples[b])
        for a, b in [(0, 1), (0, 2), (1, 2)]
    }
    statistic = sum((pairs[pair] - 4_000 * p) ** 2 / (4_000 * p) for pair, p in chance.items())
    assert statistic < stats.chi2.ppf(0.999, df=2)


def test_it_composes_with_asynchronous_federations() -> None:
    run = run_of(Asynchronous(concurrency=3), candidates=6, rounds=40)
    assert set(run.column("device")) == set(range(6))
    assert set(run.column("device")[-9:]) == {3, 4, 5}


@pytest.mark.parametrize("devices", [10, 100_000])
def test_more_candidates_than_idle_devices_are_all_of_them(devices: int) -> None:
    samples = (1,) * devices
    run = run_of(Synchronous(clients_per_round=3), candidates=devices, rounds=1, samples=samples)
    assert len(set(run.column("device"))) == 3
