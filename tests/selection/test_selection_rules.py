"""Who is sent out."""

from __future__ import annotations

from collections import Counter

from scipy import stats

from edgesim.coordination.deadline import Deadline
from edgesim.coordination.synchronous import Synchronous
from edgesim.selection.all import All
from tests.fakes import computing, simulate


def test_all_sends_out_every_idle_device_in_device_order() -> None:
    policy = Synchronous(clients_per_round=2)
    run = simulate(computing(*[1.0] * 5), devices=5, selector=All(), policy=policy, rounds=2)
    assert run.column("device") == [0, 1, 2, 3, 4] * 2


def test_all_leaves_out_who_is_still_at_work() -> None:
    policy = Deadline(clients_per_round=2, over_selection=1.0, deadline=60.0)
    run = simulate(computing(1.0, 9.0, 1.0), devices=3, selector=All(), policy=policy, rounds=2)
    assert run.column("device") == [0, 1, 2, 0, 2]


def test_uniform_sends_out_every_device_equally_often() -> None:
    policy = Synchronous(clients_per_round=1)
    counted = Counter(
        simulate(computing(*[1.0] * 8), devices=8, policy=policy, rounds=4_000).column("device")
    )
    expected = 4_000 / 8
    statistic = sum((counted[device] - expected) ** 2 / expected for device in range(8))
    assert statistic < stats.chi2.ppf(0.999, df=7)
