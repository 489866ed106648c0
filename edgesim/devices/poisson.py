"""Poisson processes with random access in time: nothing is remembered, and nothing happens until asked.

Time is cut into cells. How many events a cell has, and where, is hashed from the numbers of the process and
of the cell. So any cell can be looked up on its own, and the law is exactly the Poisson one. Cells are a
power of two long: their edges, and the cell of any time, are exact.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesim.rng import Streams

Floats: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Poisson:
    """Events at a constant rate from eternity to eternity, a process of its own for each number.

    Attributes:
        streams: that the events are drawn from.
        purpose: of the draws.
        mean_s: mean seconds between events.
    """

    streams: Streams
    purpose: str
    mean_s: float

    def latest_s(self, numbers: Numbers, at_s: Floats) -> Floats:
        """The latest event at or before each time, in the process of each number; all [n]."""
        if len(numbers) <= _FEW:
            return self._one_by_one(self._latest_s, numbers, at_s)
        latest_s = np.full(len(at_s), -np.inf)
        self._look_back(numbers, at_s, self._cells(at_s), latest_s)
        return latest_s

    def next_s(self, numbers: Numbers, at_s: Floats) -> Floats:
        """The first event after each time, in the process of each number; all [n]."""
        if len(numbers) <= _FEW:
            return self._one_by_one(self._next_s, numbers, at_s)
        next_s = np.full(len(at_s), np.inf)
        self._look_ahead(numbers, at_s, self._cells(at_s), next_s)
        return next_s

    def around_s(self, numbers: Numbers, at_s: Floats) -> tuple[Floats, Floats]:
        """Latest and next event, at about the price of one."""
        if len(numbers) <= _FEW:
            return self.latest_s(numbers, at_s), self.next_s(numbers, at_s)
        latest_s, next_s = np.full(len(at_s), -np.inf), np.full(len(at_s), np.inf)
        cells = self._cells(at_s)
        events_s, owner = self._events(numbers, cells)
        past = events_s <= at_s[owner]
        np.maximum.at(latest_s, owner[past], events_s[past])
        np.minimum.at(next_s, owner[~past], events_s[~past])
        self._look_back(numbers, at_s, cells - 1, latest_s)
        self._look_ahead(numbers, at_s, cells + 1, next_s)
        return latest_s, next_s

    def _look_back(self, numbers: Numbers, at_s: Floats, cells: Numbers, latest_s: Floats) -> None:
        """Fill in the latest events that are not known yet, from these cells downwards."""
        while (rest := np.flatnonzero(latest_s == -np.inf)).size:
            events_s, owner = self._events(numbers[rest], cells[rest])
            past = events_s <= at_s[rest][owner]
            np.maximum.at(latest_s, rest[owner[past]], events_s[past])
            cells = cells - 1

    def _look_ahead(self, numbers: Numbers, at_s: Floats, cells: Numbers, next_s: Floats) -> None:
        """Fill in the next events that are not known yet, from these cells upwards."""
        while (rest := np.flatnonzero(next_s == np.inf)).size:
            events_s, owner = self._events(numbers[rest], cells[rest])
            later = events_s > at_s[rest][owner]
            np.minimum.at(next_s, rest[owner[later]], events_s[later])
            cells = cells + 1

    def _one_by_one(
        self, event_s: Callable[[int, int, float], float], numbers: Numbers, at_s: Floats
    ) -> Floats:
        cells = self._cells(at_s).tolist()
        rows = zip(numbers.tolist(), cells, at_s.tolist(), strict=True)
        return np.array([event_s(*row) for row in rows], dtype=np.float64)

    def _latest_s(self, number: int, cell: int, at_s: float) -> float:
        while True:
            for event_s in reversed(_events_of(self, number, cell)):
                if event_s <= at_s:
                    return event_s
            cell -= 1

    def _next_s(self, number: int, cell: int, at_s: float) -> float:
        while True:
            for event_s in _events_of(self, number, cell):
                if event_s > at_s:
                    return event_s
            cell += 1

    @property
    def _cell_s(self) -> float:
        """Two to four mean intervals: few cells are empty, and few events are drawn in vain."""
        return 2.0 ** (math.ceil(math.log2(self.mean_s)) + 1)

    def _cells(self, at_s: Floats) -> Numbers:
        return np.floor(at_s / self._cell_s).astype(np.int64)

    def _events(self, numbers: Numbers, cells: Numbers) -> tuple[Floats, Numbers]:
        """All events of these cells, and for each one the index of its cell among those given."""
        u = self.streams.uniform(f"{self.purpose}-count", numbers, cells)
        counts = np.searchsorted(_cumulative(self._cell_s / self.mean_s), u)
        owner = np.repeat(np.arange(len(cells)), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = self.streams.uniform(f"{self.purpose}-place", numbers[owner], cells[owner], within)
        return (cells[owner] + place) * self._cell_s, owner


_FEW = 16  # looked up one by one, below the price of arrays


@lru_cache(maxsize=16_384)
def _events_of(process: Poisson, number: int, cell: int) -> list[float]:
    """What `Poisson._events` gives for a single cell, ascending."""
    streams, purpose, cell_s = process.streams, process.purpose, process._cell_s
    u = streams.uniform_of(f"{purpose}-count", number, cell)
    count = bisect_left(_cumulative_of(cell_s / process.mean_s), u)
    places = [streams.uniform_of(f"{purpose}-place", number, cell, within) for within in range(count)]
    return sorted((cell + place) * cell_s for place in places)


@lru_cache(maxsize=256)
def _cumulative_of(mean: float) -> list[float]:
    cumulative: list[float] = _cumulative(mean).tolist()
    return cumulative


@lru_cache(maxsize=256)
def _cumulative(mean: float) -> Floats:
    """Of a Poisson distribution with a mean of up to 4, until it is 1 to the last digit."""
    terms = np.cumprod(np.concatenate([[math.exp(-mean)], mean / np.arange(1.0, 40.0)]))
    return np.cumsum(terms, dtype=np.float64)
