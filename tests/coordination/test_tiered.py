"""Rounds within tiers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgesim.coordination.tiered import Tiered, ranked, tiers_of
from edgesim.learner import Order
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.server.roster import Roster
from tests.fakes import FixedWorkload, Run, Shifts, TabledCost, computing, simulate

SECONDS = [4.0, 1.0, 3.0, 2.0, 6.0, 5.0]  # tiers of two: devices 1 and 3, then 0 and 2, then 4 and 5


def roster(seconds: list[float]) -> Roster:
    return replace(Roster.alike(len(seconds)), expected_s=np.array(seconds))


def run_of(policy: Tiered, **settings) -> Run:
    return simulate(computing(*SECONDS), devices=6, roster=roster(SECONDS), policy=policy, **settings)


def tiers_at_work(run: Run) -> list[int]:
    """The tier of each round."""
    view = run.server.view
    by_round = {view.tag(dispatch)[1]: view.tag(dispatch)[0] for dispatch in run.column("dispatch")}
    return [by_round[number] for number in sorted(by_round)]


@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30), st.integers(1, 8))
def test_tiers_are_ordered_by_latency_and_their_sizes_differ_by_one_at_most(
    seconds: list[float], number: int
) -> None:
    tiers = tiers_of(roster(seconds), number)
    assert sorted(device for tier in tiers for device in tier.devices) == list(range(len(seconds)))
    sizes = [len(tier) for tier in tiers]
    assert max(sizes) - min(sizes) <= 1
    in_order = [sorted(seconds[device] for device in tier.devices) for tier in tiers]
    assert [second for tier in in_order for second in tier] == sorted(seconds)


@pytest.mark.parametrize(("which", "devices", "round_s"), [("fast", {1, 3}, 2.0), ("slow", {4, 5}, 6.0)])
def test_one_tier_alone_is_synchronous_rounds_of_its_devices(
    which, devices: set[int], round_s: float
) -> None:
    run = run_of(Tiered(clients_per_round=2, tiers=3, probabilities=which), rounds=4)
    assert set(run.column("device")) == devices
    assert np.diff(run.tables.aggregations["time_s"]).tolist() == [round_s] * 3


def test_a_list_gives_each_tier_its_weight() -> None:
    policy = Tiered(clients_per_round=1, tiers=3, probabilities=(5.0, 3.0, 2.0))
    counted = Counter(tiers_at_work(run_of(policy, rounds=2_000)))
    expected = [1_000, 600, 400]
    statistic = sum((counted[tier] - wanted) ** 2 / wanted for tier, wanted in enumerate(expected))
    assert statistic < stats.chi2.ppf(0.999, df=2)


def test_mean_round_falls_from_the_slowest_of_all_to_the_mean_over_tiers_of_their_slowest() -> None:
    policy = Tiered(clients_per_round=2, tiers=3, probabilities="uniform")
    rounds_s = np.diff([0.0, *run_of(policy, rounds=1_000).tables.aggregations["time_s"]])
    standard_error = rounds_s.std(ddof=1) / np.sqrt(len(rounds_s))
    assert rounds_s.mean() == pytest.approx((2.0 + 4.0 + 6.0) / 3, abs=3 * standard_error)


def test_a_tier_without_credits_is_not_drawn_and_without_any_the_run_ends() -> None:
    policy = Tiered(clients_per_round=1, tiers=3, credits=2, probabilities=(1.0, 100.0, 1.0))
    run = run_of(policy, rounds=99)
    assert run.reason == "credits"
    assert Counter(tiers_at_work(run)) == {0: 2, 1: 2, 2: 2}


def test_a_tier_of_which_nobody_is_present_is_not_drawn() -> None:
    there = Shifts(on_s=40.0, period_s=100.0, delay_s=[0.0, 60.0, 0.0, 60.0, 0.0, 0.0])
    policy = Tiered(clients_per_round=1, tiers=3, probabilities="uniform")
    run = run_of(policy, presence=there, time_s=35.0)
    assert set(tiers_at_work(run)) == {1, 2}


def test_a_round_waits_for_the_tiers_that_may_be_drawn() -> None:
    there = Shifts(on_s=10.0, period_s=40.0, delay_s=[0.0, 20.0, 0.0, 23.0, 0.0, 0.0])
    run = run_of(Tiered(clients_per_round=2, tiers=3, probabilities="fast"), presence=there, rounds=2)
    assert run.visits("device", "dispatched_s") == [(1, 20.0), (1, 21.0)]


def losses_of_tiers(*losses: float) -> FixedWorkload:
    """A learner on whose devices of tier i the loss is the i-th of these, whatever happens."""
    tier_of = {1: 0, 3: 0, 0: 1, 2: 1, 4: 2, 5: 2}
    return FixedWorkload(loss=lambda order: losses[tier_of[order.device]])


@given(st.lists(st.none() | st.floats(0, 9), min_size=1, max_size=7), st.data())
def test_probabilities_by_rank_are_a_distribution_over_the_tiers_with_credits(losses, data) -> None:
    eligible = data.draw(st.lists(st.booleans(), min_size=len(losses), max_size=len(losses)))
    found = ranked(tuple(losses), eligible)
    assert sum(found) == pytest.approx(1.0 if any(eligible) else 0.0)
    assert all((share > 0) == may for share, may in zip(found, eligible, strict=True))
    known = [
        (loss, share)
        for loss, share, may in zip(losses, found, eligible, strict=True)
        if may and loss is not None
    ]
    assert [share for _, share in sorted(known)] == sorted(share for _, share in known)


def test_the_tier_of_the_largest_loss_is_ranked_first_after_those_not_yet_known() -> None:
    assert ranked((0.5, None, 2.0, 1.0), [True] * 4) == (0.1, 0.4, 0.3, 0.2)
    assert ranked((0.5, None, 2.0), [True, False, True]) == pytest.approx((1 / 3, 0.0, 2 / 3))


def test_where_the_loss_does_not_fall_tiers_are_drawn_by_rank() -> None:
    policy = Tiered(clients_per_round=2, tiers=3, interval=10)
    run = run_of(policy, learner=losses_of_tiers(0.5, 1.5, 1.0), rounds=2_020)
    # The first check has nothing to compare with, the second finds that nothing has fallen.
    counted = Counter(tiers_at_work(run)[20:])
    expected = [2_000 / 6, 1_000, 2_000 / 3]
    statistic = sum((counted[tier] - wanted) ** 2 / wanted for tier, wanted in enumerate(expected))
    assert statistic < stats.chi2.ppf(0.999, df=2)


def test_while_the_loss_falls_the_probabilities_stay_as_they_are() -> None:
    def falling(order: Order) -> float:
        return 1.0 / (1 + order.version)

    policy = Tiered(clients_per_round=2, tiers=3, interval=20)
    run = run_of(policy, learner=FixedWorkload(loss=falling), rounds=100)
    assert run.server.view.remembered[0] == (1 / 3, 1 / 3, 1 / 3)


def test_only_adaptive_probabilities_read_losses() -> None:
    assert Tiered(clients_per_round=1).reads_loss
    assert not Tiered(clients_per_round=1, probabilities="uniform").reads_loss
    run = run_of(Tiered(clients_per_round=1, tiers=3, probabilities="uniform", interval=1), rounds=9)
    assert run.learner.calls["losses"] == 1  # for the tables


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 0.0, 0.0)])
def test_a_list_that_weighs_no_tier_or_not_each_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a weight for each of 3 tiers"):
        Tiered(clients_per_round=1, tiers=3, probabilities=weights)


def test_every_selector_chooses_within_the_tier() -> None:
    run = run_of(Tiered(clients_per_round=1, tiers=3, probabilities="slow"), selector=All(), rounds=2)
    assert run.column("device") == [4, 5, 4, 5]


def test_its_draws_of_tiers_are_those_of_the_seed_whatever_the_visits_take() -> None:
    policy = Tiered(clients_per_round=1, tiers=3, probabilities="uniform")
    jitter = Streams(5).uniform("jitter", np.arange(6))
    slower = TabledCost(lambda device, visit: (0.0, SECONDS[device] + float(jitter[device]), 0.0))  # noqa: ARG005
    other = simulate(slower, devices=6, roster=roster(SECONDS), policy=policy, rounds=20)
    assert tiers_at_work(run_of(policy, rounds=20)) == tiers_at_work(other)
