"""Shared links that flows cross several of: max-min fair rates by progressive filling.

Bertsekas & Gallager, Data Networks (2nd ed. 1992), section 6.5.2: all rates rise together until a link is
full or a cap is reached; those flows are frozen, and the others go on. Each event solves this anew.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from edgesim.simulation.link_books import SHARE, LinkBooks, check_time, instant_s

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def max_min_rates(capacity: Floats, routes: Whole, caps: Floats) -> Floats:
    """Max-min fair rates of flows.

    What is left of a link, shared equally, never falls while flows are frozen. So a flow whose cap is at most
    the share of each of its links will get its cap; and if no flow of a link has a lower share elsewhere,
    they all get that link's. All such are frozen at once, but capped flows in steps of their own: what they
    leave raises the shares of the links.

    Args:
        capacity: of each link, [links]; link 0 is none, and infinite.
        routes: the links of each flow, filled up with 0, [flows, longest route].
        caps: of each flow, [flows].
    """
    rates = np.zeros(len(caps))
    room = capacity.copy()
    open_ = np.arange(len(caps))
    while open_.size:
        there = routes[open_]
        crossing = np.bincount(there.ravel(), minlength=len(room))
        share = np.full(len(room), inf)
        np.divide(room, crossing, out=share, where=crossing > 0)
        shares = share[there]
        level = shares.min(axis=1)
        reached = caps[open_]
        frozen = reached <= level
        if not frozen.any():
            reached = level
            tight = shares == level[:, None]
            full = np.bincount(there[tight], minlength=len(room)) == crossing
            frozen = (tight & full[there]).any(axis=1)
        chosen = open_[frozen]
        rates[chosen] = reached[frozen]
        room -= _carried(routes[chosen], rates[chosen], len(room))
        np.maximum(room, 0.0, out=room)
        open_ = open_[~frozen]
    return rates


def _carried(routes: Whole, rates: Floats, links: int) -> Floats:
    """What all flows together put on each link, [links]."""
    weights = np.repeat(rates, routes.shape[1])
    return np.bincount(routes.ravel(), weights, links).astype(np.float64, copy=False)


class Mesh:
    """Flows on links that are coupled by flows which cross several of them.

    Args:
        books: of all links.
        now_s: the time.
    """

    def __init__(self, books: LinkBooks, now_s: float) -> None:
        self._books = books
        self._now_s = now_s
        self._next_s = inf
        self._settled = True
        self._slots = _Slots(books)
        self._flows: list[int] = []  # flow of each row of the following
        self._rows: dict[int, int] = {}
        self._bits: Floats = np.zeros(16)
        self._left: Floats = np.zeros(16)
        self._caps: Floats = np.zeros(16)
        self._routes: Whole = np.zeros((16, 2), dtype=np.int64)
        self._rates: Floats = np.zeros(0)
        self._used: Floats = np.zeros(0)

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def flows(self) -> tuple[int, ...]:
        """The flows that are here, in no particular order."""
        return tuple(self._flows)

    def add(self, flow: int, bits: float, route: tuple[int, ...], cap_bps: float, now_s: float) -> None:
        """A flow begins."""
        self._elapse(now_s)
        row = len(self._flows)
        self._grow(row + 1, len(route))
        self._flows.append(flow)
        self._rows[flow] = row
        self._bits[row] = self._left[row] = bits
        self._caps[row] = cap_bps
        self._routes[row] = 0
        self._routes[row, : len(route)] = self._slots.take(route)
        self._settled = False

    def remove(self, flow: int, now_s: float) -> float:
        """A flow ends early; the bits that are left of it."""
        self._elapse(now_s)
        left = float(self._left[self._rows[flow]])
        self._drop(flow)
        return max(left, 0.0)

    def set_capacity(self, link: int, capacity_bps: float, now_s: float) -> None:
        """Change the capacity of a link, in the books too."""
        self._elapse(now_s)
        self._books.capacity_bps[link] = capacity_bps
        self._slots.reread(link)
        self._settled = False

    def finish(self, now_s: float) -> list[int]:
        """Take out the flows that are done by now."""
        self._elapse(now_s)
        self.next_s()
        count = len(self._flows)
        slack = SHARE * self._bits[:count] + self._rates * instant_s(now_s)
        done = [self._flows[row] for row in np.flatnonzero(self._left[:count] <= slack)]
        for flow in done:
            self._drop(flow)
        return done

    def next_s(self) -> float:
        """When the next flow will be done; infinite if none ever will."""
        if not self._settled:
            self._settle()
            count = len(self._flows)
            moving = np.flatnonzero(self._rates)
            seconds = self._left[:count][moving] / self._rates[moving]
            self._next_s = self._now_s + max(0.0, float(seconds.min(initial=inf)))
            self._settled = True
        return self._next_s

    def rate_bps(self, flow: int) -> float:
        """The rate of a flow."""
        self.next_s()
        return float(self._rates[self._rows[flow]])

    def _elapse(self, now_s: float) -> None:
        seconds = now_s - self._now_s
        if not seconds:
            return
        check_time(self._now_s, now_s, self.next_s())
        self._left[: len(self._flows)] -= self._rates * seconds
        self._slots.note(self._used, seconds)
        self._now_s = now_s

    def _settle(self) -> None:
        count = len(self._flows)
        routes = self._routes[:count]
        capacity = self._slots.capacity_bps
        self._rates = max_min_rates(capacity, routes, self._caps[:count])
        self._used = _carried(routes, self._rates, len(capacity))

    def _drop(self, flow: int) -> None:
        """Take a flow out; the last row takes its place."""
        row, last = self._rows.pop(flow), len(self._flows) - 1
        self._slots.give_back(self._routes[row])
        moved = self._flows.pop()
        if row != last:
            self._flows[row] = moved
            self._rows[moved] = row
            self._routes[row] = self._routes[last]
            for column in (self._bits, self._left, self._caps):
                column[row] = column[last]
        self._settled = False

    def _grow(self, rows: int, width: int) -> None:
        more, wider = max(0, rows - len(self._bits)), max(0, width - self._routes.shape[1])
        if more:
            more = len(self._bits)
            self._bits, self._left, self._caps = (
                np.pad(column, (0, more)) for column in (self._bits, self._left, self._caps)
            )
        if more or wider:
            self._routes = np.pad(self._routes, ((0, more), (0, wider)))


class _Slots:
    """Links in use, numbered anew from 1, so that each step costs what is in use; slot 0 is no link.

    Attributes:
        capacity_bps: of each slot.
    """

    def __init__(self, books: LinkBooks) -> None:
        self._books = books
        self._slot: dict[int, int] = {}
        self._links: Whole = np.zeros(1, dtype=np.int64)
        self._users: list[int] = [0]
        self._free: list[int] = []
        self.capacity_bps: Floats = np.full(1, inf)

    def take(self, route: tuple[int, ...]) -> list[int]:
        """The slots of these links, each with one more user."""
        slots = [self._slot.get(link) or self._open(link) for link in route]
        for slot in slots:
            self._users[slot] += 1
        return slots

    def give_back(self, slots: Whole) -> None:
        """One user less for each of these."""
        for slot in slots.tolist():
            self._users[slot] -= 1
            if slot and not self._users[slot]:
                del self._slot[int(self._links[slot])]
                self._free.append(slot)

    def reread(self, link: int) -> None:
        """The capacity of this link has changed."""
        self.capacity_bps[self._slot[link]] = self._books.capacity_bps[link]

    def note(self, used_bps: Floats, seconds: float) -> None:
        """So much of each slot was in use for so long."""
        busy = np.flatnonzero(used_bps[1:]) + 1
        self._books.note_all(self._links[busy], used_bps[busy], seconds)

    def _open(self, link: int) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._users)
            self._users.append(0)
            self._links = np.append(self._links, link)
            self.capacity_bps = np.append(self.capacity_bps, 0.0)
        self._slot[link] = slot
        self._links[slot] = link
        self.capacity_bps[slot] = self._books.capacity_bps[link]
        return slot
