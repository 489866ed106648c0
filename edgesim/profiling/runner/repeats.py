"""How often a graph is run, and what is made of the seconds.

The interval of the median comes from order statistics: the median lies between the k-th smallest and the k-th
largest of n independent runs unless fewer than k of them fall on one side of it, and how many do follows the
binomial law B(n, 1/2), whatever the distribution of the seconds (H. A. David, Order Statistics, section 7.1).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
LEAST_RUNS = 10
LEAST_S = 0.25  # a shorter series may lie in one time slice of the scheduler
WARM_UP_RUNS = 3
WARM_UP_S = 0.2  # governors take some 100 ms to raise the clock
WARM_UP_SHARE = 0.25  # of the budget, at most
GROWTH = 1.2  # between two looks at the interval

Clock = Callable[[], float]


@dataclass(frozen=True)
class Budget:
    """When to stop.

    Attributes:
        seconds: for warm-up and runs of one graph together.
        precision: the largest distance of the interval's ends from the median, relative to it.
        least_s: seconds that the runs take at least.
    """

    seconds: float
    precision: float
    least_s: float = LEAST_S


@dataclass(frozen=True)
class Median:
    """A median and its 95 % interval; with five samples or fewer their extremes, which say less than 95 %."""

    value: float
    low: float
    high: float
    enough: bool

    def within(self, precision: float) -> bool:
        """Whether both ends of the interval are this near, relative to the median."""
        far = max(self.high - self.value, self.value - self.low)
        return self.enough and far <= precision * self.value


def interval_rank(count: int) -> int:
    """The largest k with P(B(count, 1/2) < k) <= 2.5 %; 0 where there is none (count under 6).

    The interval is from the k-th smallest to the k-th largest sample.
    """
    tail, rank = 0.0, max(0, math.floor(count / 2 - 6 * math.sqrt(count)))  # below lies 1e-30 in all
    while True:
        tail += math.exp(_log_choose(count, rank) - count * math.log(2))
        if tail > (1 - CONFIDENCE) / 2:
            return rank
        rank += 1


def median(seconds: Sequence[float]) -> Median:
    """Median of a series with its interval."""
    ordered = sorted(seconds)
    count, half = len(ordered), len(ordered) // 2
    value = ordered[half] if count % 2 else (ordered[half - 1] + ordered[half]) / 2
    rank = interval_rank(count)
    index = max(rank, 1) - 1
    return Median(value, ordered[index], ordered[count - 1 - index], enough=rank > 0)


def quantile(seconds: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share of the series does not exceed."""
    return sorted(seconds)[math.ceil(share * len(seconds)) - 1]


def warm_up(run: Callable[[], object], budget: Budget, clock: Clock = time.perf_counter) -> float:
    """Run until caches, clock and memory are as they stay; gives the seconds of the first run."""
    begin = clock()
    run()
    first = clock() - begin
    spent, runs = first, 1
    while spent < WARM_UP_SHARE * budget.seconds and (spent < WARM_UP_S or runs < WARM_UP_RUNS):
        run()
        spent, runs = clock() - begin, runs + 1
    return first


def repeat(
    run: Callable[[], object],
    budget: Budget,
    spent_s: float,
    between: Callable[[], None],
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Seconds of each run until the median is as precise as asked, or the budget ends; one run at least.

    Args:
        run: what is timed.
        budget: when to stop.
        spent_s: what the warm-up took of the budget.
        between: called before each run, outside its seconds.
        clock: seconds from some fixed moment.
    """
    seconds: list[float] = []
    begin = clock()
    look = LEAST_RUNS
    while True:
        between()
        before = clock()
        run()
        after = clock()
        seconds.append(after - before)
        if spent_s + after - begin >= budget.seconds:
            return seconds
        if len(seconds) >= look:
            if after - begin >= budget.least_s and median(seconds).within(budget.precision):
                return seconds
            look = math.ceil(look * GROWTH)


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)
