from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.devices.poisson import Poisson
from edgesim.rng import Streams

EVENTS = Poisson(Streams(1), "test", mean_s=10.0)
PROCESSES = np.arange(20_000)

times_s = st.floats(-1e6, 1e6)
process = st.integers(0, 100).map(lambda number: np.array([number]))


def _at(time_s: float, numbers: np.ndarray = PROCESSES) -> np.ndarray:
    return np.full(len(numbers), time_s)


@given(process, times_s)
def test_nothing_lies_between_the_latest_event_and_the_next(number: np.ndarray, time_s: float) -> None:
    at_s = np.array([time_s])
    latest_s, next_s = EVENTS.latest_s(number, at_s), EVENTS.next_s(number, at_s)
    assert latest_s <= at_s < next_s
    assert EVENTS.around_s(number, at_s) == (latest_s, next_s)
    assert EVENTS.next_s(number, latest_s) == next_s
    assert EVENTS.latest_s(number, next_s) == next_s
    assert EVENTS.latest_s(number, np.nextafter(next_s, -np.inf)) == latest_s


def test_time_to_the_next_event_is_exponential_at_any_moment() -> None:
    for time_s in (-55.5, 0.0, 31.0, 1e5):
        wait_s = EVENTS.next_s(PROCESSES, _at(time_s)) - time_s
        assert wait_s.mean() == pytest.approx(10, abs=3 * 10 / np.sqrt(len(PROCESSES)))
        for bound_s in (1.0, 10.0, 30.0):
            share = np.exp(-bound_s / 10)
            error = np.sqrt(share * (1 - share) / len(PROCESSES))
            assert (wait_s > bound_s).mean() == pytest.approx(share, abs=3 * error)


def test_counts_have_the_poisson_mean_and_variance() -> None:
    counts = np.zeros(len(PROCESSES))
    at_s = EVENTS.next_s(PROCESSES, _at(0.0))
    while (inside := at_s < 100).any():
        counts[inside] += 1
        at_s[inside] = EVENTS.next_s(PROCESSES[inside], at_s[inside])
    n = len(PROCESSES)
    assert counts.mean() == pytest.approx(10, abs=3 * np.sqrt(10 / n))
    assert counts.var() == pytest.approx(10, abs=3 * np.sqrt((10 + 2 * 10**2) / n))


@pytest.mark.parametrize("ask", [EVENTS.latest_s, EVENTS.next_s, EVENTS.around_s])
@pytest.mark.parametrize("at_s", [77.0, -3.5, 1e6])
def test_one_process_is_answered_as_among_many(ask: Callable[..., Any], at_s: float) -> None:
    many = ask(PROCESSES[:100], _at(at_s, PROCESSES[:100]))
    alone = [ask(PROCESSES[i : i + 1], np.array([at_s])) for i in range(100)]
    assert np.array_equal(many, np.concatenate(alone, axis=-1))


def test_processes_are_independent_of_each_other() -> None:
    wait_s = EVENTS.next_s(PROCESSES, _at(0.0))
    assert abs(np.corrcoef(wait_s[1:], wait_s[:-1])[0, 1]) < 3 / np.sqrt(len(PROCESSES))
