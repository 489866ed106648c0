"""Shared links as fluids: the transfers in progress share them max-min fairly, exactly and event by event.

Rates change only when a flow begins or ends, or when a cap or a capacity changes. A link whose flows cross no
other costs the logarithm of their number per event (`shared_link`); links that some flow couples are solved
together (`mesh`). Within one instant everything is settled once, when the next end is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import inf
from typing import TypeAlias

from edgesim.simulation.lazy_heap import LazyHeap
from edgesim.simulation.link_books import LinkBooks, check_capacity, instant_s
from edgesim.simulation.mesh import Mesh
from edgesim.simulation.shared_link import SharedLink

_Part: TypeAlias = SharedLink | Mesh
_Route: TypeAlias = tuple[int, ...]


class FluidLinks:
    """Links with capacities, and the flows that cross them; all times are absolute and never go backwards.

    A driver sleeps until `next_s`, calls `advance` then and asks again; it asks anew after every other call,
    as any may bring the next end nearer or move it away. No call may be later than an end not yet told.

    Args:
        capacities_bps: capacity of each link; 0 stands for an outage, and unlimited links are left out.

    Attributes:
        books: capacity, bits carried and peak utilisation of each link, as of its last event.

    Raises:
        ValueError: a capacity is negative or infinite.
    """

    def __init__(self, capacities_bps: Sequence[float]) -> None:
        self.books = LinkBooks(capacities_bps)
        self._now_s = 0.0
        self._numbers = count()
        self._flows: dict[int, tuple[_Route, float]] = {}  # those with bits: route and cap
        self._empty: list[int] = []  # those that have none left, to be told at the next advance
        self._of_link: dict[int, int] = {}  # number of the part that a link in use belongs to
        self._users: dict[int, int] = {}  # flows of each link in use
        self._parts: dict[int, _Part] = {}
        self._ends = LazyHeap()  # of each part, its next end
        self._touched: set[int] = set()  # parts whose next end has to be asked for again

    def add(self, flow: int, bits: float, route: _Route, cap_bps: float, now_s: float) -> None:
        """A flow begins. One without bits is done at once.

        Args:
            flow: its number, that of no flow in progress.
            bits: its size.
            route: the links that it crosses, each once, at least one.
            cap_bps: what it can do by itself; may be infinite.
            now_s: the time.

        Raises:
            ValueError: time goes backwards, or past the end of a flow; or the flow cannot be one.
        """
        self._go_to(now_s)
        if flow in self._flows or flow in self._empty:
            raise ValueError(f"flow {flow} is in progress already")
        if not (0 <= bits < inf and cap_bps >= 0 and len(route) == len(set(route)) > 0):
            raise ValueError(
                f"flow {flow} cannot be: {bits} bits over links {route} at up to {cap_bps} bit/s"
            )
        self._begin(flow, bits, route, cap_bps)

    def remove(self, flow: int, now_s: float) -> float:
        """A flow ends before it is done; the bits that are left of it.

        Raises:
            ValueError: time goes backwards, or past the end of a flow.
            KeyError: there is no such flow.
        """
        self._go_to(now_s)
        if flow in self._empty:
            self._empty.remove(flow)
            return 0.0
        left, _ = self._take(flow)
        return left

    def set_cap(self, flow: int, cap_bps: float, now_s: float) -> None:
        """Change what a flow can do by itself; 0 makes it stand still.

        Raises:
            ValueError: time goes backwards, or past the end of a flow; or the cap is negative.
            KeyError: there is no such flow.
        """
        self._go_to(now_s)
        if not cap_bps >= 0:
            raise ValueError(f"a cap must be zero or more, got {cap_bps}")
        if flow not in self._empty:
            left, route = self._take(flow)
            self._begin(flow, left, route, cap_bps)

    def set_capacity(self, link: int, capacity_bps: float, now_s: float) -> None:
        """Change the capacity of a link; during an outage (0) its flows stand still.

        Raises:
            ValueError: time goes backwards, or past the end of a flow; or it is no capacity.
        """
        self._go_to(now_s)
        check_capacity(capacity_bps)
        if link in self._of_link:
            number = self._of_link[link]
            self._parts[number].set_capacity(link, capacity_bps, now_s)
            self._touched.add(number)
        else:
            self.books.capacity_bps[link] = capacity_bps

    def next_s(self) -> float:
        """When the next flow will be done if nothing else happens; infinite if none ever will."""
        if self._empty:
            return self._now_s
        self._ask_touched()
        return self._ends.first()[0] if self._ends else inf

    def advance(self, now_s: float) -> list[int]:
        """Go to a time; the flows that are done then, in the order of their numbers. They are forgotten.

        Raises:
            ValueError: time goes backwards, or past the end of a flow.
        """
        self._go_to(now_s)
        self._ask_touched()
        done, self._empty = self._empty, []
        until_s = now_s + instant_s(now_s)
        while self._ends and self._ends.first()[0] <= until_s:
            number = int(self._ends.first()[1])
            self._ends.discard(number)
            self._touched.add(number)
            for flow in self._parts[number].finish(now_s):
                done.append(flow)
                self._leave(self._flows.pop(flow)[0])
        return sorted(done)

    def rate_bps(self, flow: int) -> float:
        """The present rate of a flow that has bits left."""
        return self._parts[self._of_link[self._flows[flow][0][0]]].rate_bps(flow)

    def _go_to(self, now_s: float) -> None:
        if now_s < self._now_s:
            raise ValueError(f"time goes backwards, from {self._now_s} s to {now_s} s")
        self._now_s = now_s

    def _ask_touched(self) -> None:
        """Ask the parts where something has happened for their next ends, and let go those without flows."""
        for number in self._touched:
            part = self._parts[number]
            end_s = part.next_s()
            if end_s < inf:
                self._ends.put(number, end_s)
            else:
                self._ends.discard(number)
            if not len(part):
                del self._parts[number]
        self._touched.clear()

    def _begin(self, flow: int, bits: float, route: _Route, cap_bps: float) -> None:
        if bits:
            self._enter(self._number_of(route), flow, bits, route, cap_bps)
        else:
            self._empty.append(flow)

    def _enter(self, number: int, flow: int, bits: float, route: _Route, cap_bps: float) -> None:
        self._parts[number].add(flow, bits, route, cap_bps, self._now_s)
        self._flows[flow] = route, cap_bps
        for link in route:
            self._of_link[link] = number
            self._users[link] = self._users.get(link, 0) + 1
        self._touched.add(number)

    def _take(self, flow: int) -> tuple[float, _Route]:
        """Take a flow out; the bits that are left, and its route."""
        route, _ = self._flows.pop(flow)
        number = self._of_link[route[0]]
        left = self._parts[number].remove(flow, self._now_s)
        self._touched.add(number)
        self._leave(route)
        return left, route

    def _leave(self, route: _Route) -> None:
        """One flow less on these links; one that nobody uses belongs to no part."""
        for link in route:
            self._users[link] -= 1
            if not self._users[link]:
                del self._users[link], self._of_link[link]

    def _number_of(self, route: _Route) -> int:
        """The part that a flow on this route belongs to, made or joined from several where need be."""
        numbers = sorted({self._of_link[link] for link in route if link in self._of_link})
        if len(numbers) == 1 and (len(route) == 1 or isinstance(self._parts[numbers[0]], Mesh)):
            return numbers[0]
        number = next(self._numbers)
        if len(route) == 1:
            self._parts[number] = SharedLink(route[0], self.books, self._now_s)
            return number
        flows = [flow for other in numbers for flow in self._parts[other].flows]
        moved = [(flow, self._flows[flow][1], *self._take(flow)) for flow in flows]
        self._parts[number] = Mesh(self.books, self._now_s)
        for flow, cap_bps, left, there in moved:
            if left:
                self._enter(number, flow, left, there, cap_bps)
            else:
                self._empty.append(flow)
        return number
