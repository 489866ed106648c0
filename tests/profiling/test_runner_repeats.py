"""When the runner has run a graph often enough."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from edgesim.profiling.runner import repeats
from edgesim.profiling.runner.repeats import Budget

NOTHING: Callable[[], None] = lambda: None  # noqa: E731


class Machine:
    """Runs take the given seconds, one after another; reading the clock takes none."""

    def __init__(self, seconds: Iterator[float]) -> None:
        self.seconds = seconds
        self.now_s = 0.0
        self.runs = 0

    def clock(self) -> float:
        return self.now_s

    def run(self) -> None:
        self.now_s += next(self.seconds)
        self.runs += 1


@pytest.mark.parametrize("count", [1, 5, 6, 7, 8, 9, 10, 20, 99, 100, 1000, 30_000])
def test_the_rank_of_the_interval_is_the_largest_that_the_binomial_law_allows(count: int) -> None:
    rank = repeats.interval_rank(count)
    if rank > 0:
        assert stats.binom.cdf(rank - 1, count, 0.5) <= 0.025
    assert stats.binom.cdf(rank, count, 0.5) > 0.025


def test_six_runs_have_an_interval_and_five_have_none() -> None:
    assert (repeats.interval_rank(5), repeats.interval_rank(6)) == (0, 1)


def test_the_interval_covers_the_true_median_95_times_in_a_hundred() -> None:
    generator = np.random.default_rng(1)
    drawn = generator.lognormal(size=(4000, 25))  # median 1
    covered = np.mean([found.low <= 1 <= found.high for found in map(repeats.median, drawn.tolist())])
    honest = 1 - 2 * stats.binom.cdf(repeats.interval_rank(25) - 1, 25, 0.5)  # 0.957
    assert covered == pytest.approx(honest, abs=4 * np.sqrt(honest * (1 - honest) / 4000))


def test_the_median_of_ten_lies_between_the_second_and_the_ninth() -> None:
    found = repeats.median([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert (found.value, found.low, found.high, found.enough) == (5.5, 2, 9, True)


def test_of_three_runs_the_extremes_are_given_and_never_count_as_precise() -> None:
    found = repeats.median([1.0, 1.0, 1.0])
    assert (found.low, found.high, found.within(0.5)) == (1.0, 1.0, False)


def test_quantiles_are_samples() -> None:
    assert [repeats.quantile(range(1, 101), share) for share in (0.9, 0.99, 1)] == [90, 99, 100]
    assert repeats.quantile([7.0], 0.9) == 7.0


def test_equal_runs_end_after_ten_when_they_fill_the_least_time() -> None:
    machine = Machine(itertools.repeat(0.1))
    seconds = repeats.repeat(machine.run, Budget(60, 0.03), 0.0, NOTHING, machine.clock)
    assert seconds == pytest.approx([0.1] * 10)


def test_short_runs_go_on_until_the_least_time_is_filled() -> None:
    machine = Machine(itertools.repeat(0.001))
    seconds = repeats.repeat(machine.run, Budget(60, 0.03, least_s=0.25), 0.0, NOTHING, machine.clock)
    assert 0.25 <= sum(seconds) < 0.25 * repeats.GROWTH + 0.001


def test_scattered_runs_go_on_until_the_interval_is_narrow() -> None:
    machine = Machine(iter(np.random.default_rng(2).lognormal(-3, 0.3, 100_000).tolist()))
    seconds = repeats.repeat(machine.run, Budget(1e6, 0.03), 0.0, NOTHING, machine.clock)
    found = repeats.median(seconds)
    assert found.within(0.03)
    assert len(seconds) > 200


def test_the_budget_ends_what_does_not_settle_and_counts_the_warm_up() -> None:
    machine = Machine(itertools.cycle([1.0, 2.0]))
    seconds = repeats.repeat(machine.run, Budget(31, 0.03), 10.0, NOTHING, machine.clock)
    assert sum(seconds) == 21


def test_a_run_longer_than_the_budget_is_timed_once() -> None:
    machine = Machine(itertools.repeat(100.0))
    assert repeats.warm_up(machine.run, Budget(60, 0.03), machine.clock) == 100
    assert repeats.repeat(machine.run, Budget(60, 0.03), 100.0, NOTHING, machine.clock) == [100]
    assert machine.runs == 2


def test_the_warm_up_runs_three_times_and_as_long_as_a_clock_needs_to_rise() -> None:
    slow, quick = Machine(itertools.chain([2.0], itertools.repeat(1.0))), Machine(itertools.repeat(0.001))
    assert repeats.warm_up(slow.run, Budget(60, 0.03), slow.clock) == 2.0
    repeats.warm_up(quick.run, Budget(60, 0.03), quick.clock)
    assert slow.runs == repeats.WARM_UP_RUNS
    assert quick.now_s == pytest.approx(repeats.WARM_UP_S, abs=0.002)


def test_what_happens_between_runs_is_not_timed() -> None:
    machine = Machine(itertools.repeat(1.0))

    def between() -> None:
        machine.now_s += 0.5

    assert set(repeats.repeat(machine.run, Budget(10, 0.03), 0.0, between, machine.clock)) == {1.0}
