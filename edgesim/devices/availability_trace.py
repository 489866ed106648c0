"""Windows of presence as they were recorded, repeated for ever."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgesim.devices._columns import read_columns, refused
from edgesim.devices._cycle import cycle_of
from edgesim.devices._law import Bools
from edgesim.devices.poisson import Floats, Numbers
from edgesim.errors import InputError, Problem

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """When clients were observed, on the clock of their trace; columns [clients].

    Attributes:
        start_s: begin of the observation.
        period_s: its length, after which it repeats.
    """

    start_s: Floats
    period_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of presence of recorded clients.

    Attributes:
        spans: when each client was observed.
        first: [clients], whether it is there when its observation begins.
        offset: [clients + 1], where the edges of each client begin.
        edges_s: times within the observation, its own begin and end aside, at which a client comes or goes.
        zero_s: midnight on the trace's clock before anything was observed; where runs begin.
    """

    spans: Spans
    first: Bools
    offset: Numbers
    edges_s: Floats
    zero_s: float

    @classmethod
    def read(cls, path: Path, spans_path: Path | None, period_s: float | None) -> Self:
        """Read `client, start_s, end_s`, and from another file `client, trace_start_s, trace_end_s`.

        Clients count in the order of their numbers. Windows without length are left out, such as overlap or
        touch are merged. Without observations, all clients are observed from the midnight before the first
        window: for the period, or for as many whole days as hold all windows.

        Raises:
            InputError: a file is not as described, or a window lies outside the observation; with its line.
        """
        columns = read_columns(path, {"client": False, "start_s": False, "end_s": False})
        start_s, end_s = columns["start_s"], columns["end_s"]
        if not len(start_s):
            raise InputError(Problem("has a header and no windows; add some", place=str(path)))
        _refuse_first(path, end_s < start_s, "end_s", "is before its start_s; exchange them")
        names, client = np.unique(columns["client"], return_inverse=True)
        zero_s = float(np.floor(start_s.min() / DAY_S) * DAY_S)
        if spans_path is None:
            whole_days_s = max(1.0, float(np.ceil((end_s.max() - zero_s) / DAY_S))) * DAY_S
            spans = Spans(np.full(len(names), zero_s), np.full(len(names), period_s or whole_days_s))
        else:
            spans = _read_spans(spans_path, names)
            zero_s = float(np.floor(spans.start_s.min() / DAY_S) * DAY_S)
        from_s, upto_s = start_s - spans.start_s[client], end_s - spans.start_s[client]
        outside = (from_s < 0) | (upto_s > spans.period_s[client])
        _refuse_first(path, outside, "end_s", "lies outside the observation; lengthen it or drop the row")
        return cls(spans, *_edges(client, from_s, upto_s, spans.period_s), zero_s)

    def __len__(self) -> int:
        return len(self.first)


def _refuse_first(path: Path, wrong: Bools, column: str, message: str) -> None:
    if wrong.any():
        raise refused(path, int(wrong.argmax()), column, message)


def _read_spans(path: Path, clients: Floats) -> Spans:
    """The observations of these clients, which are sorted.

    Raises:
        InputError: the file is not as described, or has not one complete row for each of them.
    """
    names = {"client": False, "trace_start_s": True, "trace_end_s": True}
    client, start_s, end_s = read_columns(path, names).values()
    _refuse_first(path, end_s <= start_s, "trace_end_s", "must be after trace_start_s; correct it")
    rows = np.flatnonzero(np.isin(client, clients) & np.isfinite(end_s - start_s))
    rows = rows[np.argsort(client[rows], kind="stable")]
    if not np.array_equal(client[rows], clients):
        without = np.setdiff1d(clients, client[rows])
        shown = f"no observation of client {without[0]:g}" if without.size else "two observations of a client"
        raise InputError(Problem(f"has {shown}; one is needed of each with windows", place=str(path)))
    return Spans(start_s[rows], end_s[rows] - start_s[rows])


def _edges(
    client: Numbers, from_s: Floats, upto_s: Floats, period_s: Floats
) -> tuple[Bools, Numbers, Floats]:
    """First states, offsets and edges of merged windows, given within the observations of their clients."""
    lasting = np.flatnonzero(upto_s > from_s)
    order = lasting[np.lexsort((from_s[lasting], client[lasting]))]
    times_s = np.concatenate([from_s[order], upto_s[order]])
    owner = np.tile(client[order], 2)
    step = np.repeat([1, -1], len(order))
    order = np.lexsort((-step, times_s, owner))  # who goes and comes at once has not gone
    times_s, owner, step = times_s[order], owner[order], step[order]
    there = np.cumsum(step)
    change = (there == 0) | ((there == 1) & (step == 1))
    at_begin = change & (times_s == 0)
    first = np.zeros(len(period_s), dtype=bool)
    first[owner[at_begin]] = True
    inner = change & (times_s > 0) & (times_s < period_s[owner])
    counts = np.bincount(owner[inner], minlength=len(period_s))
    return first, np.concatenate([[0], np.cumsum(counts)]), times_s[inner]


@dataclass(frozen=True, slots=True, eq=False)
class TraceLaw:
    """Devices that come and go as clients of a trace did.

    Attributes:
        windows: of the clients.
        start: number of the first device.
        client: [devices], whom each device follows.
        ahead_s: [devices], how far its clock is ahead.
    """

    windows: Windows
    start: int
    client: NDArray[np.int32]
    ahead_s: Floats

    def present(self, devices: Numbers, at_s: Floats) -> Bools:
        """Whether each device is in a window: an odd number of edges has passed, or not and it began so."""
        return self.look(devices, at_s)[0]

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """The same, and the next edge or the end of the cycle."""
        windows = self.windows
        client, begin_s, end_s = self._cycle(devices, at_s)
        edge = self._next_edge(client, begin_s, at_s)
        start, stop = windows.offset[client], windows.offset[client + 1]
        here = windows.first[client] ^ ((edge - start) % 2 == 1)
        steady_s = np.where(start == stop, np.inf, end_s)
        more = np.flatnonzero(edge < stop)
        edge_s = begin_s[more] + windows.edges_s[edge[more]]
        steady_s[more] = np.minimum(edge_s, end_s[more])  # of an edge just before the end, by rounding
        return here, steady_s

    def _cycle(self, devices: Numbers, at_s: Floats) -> tuple[Numbers, Floats, Floats]:
        """Each device's client, and begin and end of the repetition that holds the time."""
        mine = devices - self.start
        client = self.client[mine].astype(np.int64)
        period_s = self.windows.spans.period_s[client]
        origin_s = self.windows.spans.start_s[client] - self.windows.zero_s - self.ahead_s[mine]
        cycle = cycle_of(at_s, origin_s, period_s)
        return client, origin_s + cycle * period_s, origin_s + (cycle + 1) * period_s

    def _next_edge(self, client: Numbers, begin_s: Floats, at_s: Floats) -> Numbers:
        """Index of the client's first edge after the time: bisection on the very times that are answered."""
        low, high = self.windows.offset[client], self.windows.offset[client + 1]
        while (rest := np.flatnonzero(low < high)).size:
            middle = (low[rest] + high[rest]) // 2
            passed = begin_s[rest] + self.windows.edges_s[middle] <= at_s[rest]
            low[rest[passed]] = middle[passed] + 1
            high[rest[~passed]] = middle[~passed]
        return low
