"""One shared link, in virtual time: every event costs the logarithm of the number of flows.

Max-min fair shares of one link are a level: each flow runs at the level or at its own cap, whichever is less,
and the level is what makes the rates add up to the capacity (infinite if the caps do not fill the link).

*Peers* are flows of equal cap. They always have the same rate, so one number, the bits that each has been
served, says how far all of them are: a flow is done when it has grown by the flow's bits. For bound peers
(cap at most the level) it grows with the time, for free ones with the *level bits*, the integral of the
level. So an event changes the level for all at once, and moves only those peers whose cap the level passes.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf, ulp

from edgesim.simulation.lazy_heap import LazyHeap
from edgesim.simulation.link_books import SHARE, LinkBooks, check_time, instant_s

_REBASE = 1024  # level bits, in sizes of the largest flow, after which they begin again at zero


class _Peers:
    """Flows of one cap.

    Attributes:
        cap_bps: the cap.
        bound: whether the cap is what holds them back.
        ends: per flow, how much its peers will have been served when it is done.
    """

    __slots__ = ("_pace", "_served_bits", "_since", "bound", "cap_bps", "ends")

    def __init__(self, cap_bps: float, bound: bool, clock: float) -> None:
        self.cap_bps = cap_bps
        self.ends = LazyHeap()
        self._served_bits = self._pace = 0.0
        self._since = clock
        self.turn(bound, clock, clock)

    def turn(self, bound: bool, before: float, after: float) -> None:
        """Go by the other clock from here on; `before` and `after` are the readings of both."""
        self._served_bits = self.served_bits(before)
        self.bound = bound
        self._pace = self.cap_bps if bound else 1.0
        self._since = after

    def rebase(self, before: float, after: float) -> None:
        """Count served bits from zero again, as of now; the readings of the clock before and after."""
        self.ends.shift(self.served_bits(before))
        self._served_bits = 0.0
        self._since = after

    def served_bits(self, clock: float) -> float:
        """What each flow would have been served had it been there from the start."""
        return self._served_bits + self._pace * (clock - self._since)

    def next(self) -> float:
        """Reading of the clock when the first flow is done; infinite if the flows stand still."""
        if not self._pace:
            return inf
        return self._since + (self.ends.first()[0] - self._served_bits) / self._pace


class SharedLink:
    """The flows of one link that cross no other.

    Args:
        link: number of the link.
        books: of all links.
        now_s: the time.
    """

    def __init__(self, link: int, books: LinkBooks, now_s: float) -> None:
        self._link = link
        self._books = books
        self._capacity_bps = float(books.capacity_bps[link])
        self._now_s = now_s
        self._next_s = inf
        self._settled = True
        self._level_bps = inf
        self._level_bits = 0.0
        self._rebase_bits = 0.0
        self._flows: dict[int, tuple[_Peers, float]] = {}
        self._peers: dict[float, _Peers] = {}
        self._caps: list[float] = []  # sorted: first those of bound peers, then those of free ones
        self._bound_peers = 0
        self._bound_flows = 0
        self._bound_bps = 0.0
        self._bound_ends = LazyHeap()  # per cap, when the first of the peers is done
        self._free_ends = LazyHeap()  # the same, in level bits

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def flows(self) -> tuple[int, ...]:
        """The flows that are here, in no particular order."""
        return tuple(self._flows)

    # ---------------------------------------------------------------------------------------- what happens

    def add(self, flow: int, bits: float, route: tuple[int, ...], cap_bps: float, now_s: float) -> None:  # noqa: ARG002
        """A flow begins; its route is this link."""
        self._elapse(now_s)
        peers = self._peers.get(cap_bps)
        if peers is None:
            peers = self._join(cap_bps)
        peers.ends.put(flow, peers.served_bits(self._clock(peers)) + bits)
        self._flows[flow] = peers, bits
        self._count(peers, 1)
        self._note(peers)
        self._rebase_bits = max(self._rebase_bits, _REBASE * bits)

    def remove(self, flow: int, now_s: float) -> float:
        """A flow ends early; the bits that are left of it."""
        self._elapse(now_s)
        peers, bits = self._flows[flow]
        left = peers.ends.key(flow) - peers.served_bits(self._clock(peers))
        self._drop(flow)
        return min(max(left, 0.0), bits)

    def set_capacity(self, link: int, capacity_bps: float, now_s: float) -> None:
        """Change the capacity, in the books too."""
        self._elapse(now_s)
        self._books.capacity_bps[link] = self._capacity_bps = capacity_bps
        # Summed anew, as rounding of the sum is relative to the capacity, and that may have fallen.
        self._bound_bps = sum(cap * len(self._peers[cap].ends) for cap in self._caps[: self._bound_peers])
        self._settled = False

    def finish(self, now_s: float) -> list[int]:
        """Take out the flows that are done by now."""
        self._elapse(now_s)
        self.next_s()
        instant = instant_s(now_s)
        done: list[int] = []
        while self._free_ends:
            end, cap_bps = self._free_ends.first()
            flow, bits = self._first_of(cap_bps)
            slack = SHARE * bits + self._level_bps * instant + 2 * ulp(end)
            if end - self._level_bits > slack:
                break
            done.append(self._drop(flow))
        while self._bound_ends:
            end, cap_bps = self._bound_ends.first()
            flow, bits = self._first_of(cap_bps)
            if (end - now_s) * cap_bps > SHARE * bits + cap_bps * instant:
                break
            done.append(self._drop(flow))
        return done

    # ---------------------------------------------------------------------------------------- what holds

    def next_s(self) -> float:
        """When the next flow will be done; infinite if none ever will."""
        if not self._settled:
            self._settle()
            self._next_s = max(self._now_s, min(self._next_bound_s(), self._next_free_s()))
            self._settled = True
        return self._next_s

    def rate_bps(self, flow: int) -> float:
        """The rate of a flow."""
        self.next_s()
        peers, _ = self._flows[flow]
        return peers.cap_bps if peers.bound else self._level_bps

    def _next_bound_s(self) -> float:
        return self._bound_ends.first()[0] if self._bound_ends else inf

    def _next_free_s(self) -> float:
        if not self._free_ends or not self._level_bps:
            return inf
        return self._now_s + (self._free_ends.first()[0] - self._level_bits) / self._level_bps

    # ------------------------------------------------------------------------------------------ book-keeping

    def _elapse(self, now_s: float) -> None:
        """Serve the flows up to now."""
        seconds = now_s - self._now_s
        if not seconds:
            return
        check_time(self._now_s, now_s, self.next_s())
        used_bps = self._bound_bps
        if len(self._flows) > self._bound_flows:
            self._level_bits += self._level_bps * seconds
            used_bps = self._capacity_bps
        self._books.note(self._link, used_bps, seconds)
        self._now_s = now_s
        if self._level_bits > self._rebase_bits:
            self._rebase()

    def _settle(self) -> None:
        """Find the level: first let go of whom it no longer holds, then bind whom it passes."""
        caps = self._caps
        while self._bound_peers and self._fair_bps() < caps[self._bound_peers - 1]:
            self._bound_peers -= 1
            self._turn(self._peers[caps[self._bound_peers]], bound=False)
        while self._bound_peers < len(caps) and caps[self._bound_peers] <= self._fair_bps():
            self._turn(self._peers[caps[self._bound_peers]], bound=True)
            self._bound_peers += 1
        self._level_bps = self._fair_bps()

    def _fair_bps(self) -> float:
        """What is left for each free flow; where none is free, whether the bound ones fit."""
        free = len(self._flows) - self._bound_flows
        if free:
            return (self._capacity_bps - self._bound_bps) / free
        return inf if self._bound_bps <= self._capacity_bps else -inf

    def _turn(self, peers: _Peers, *, bound: bool) -> None:
        flows = len(peers.ends)
        self._count(peers, -flows)
        self._ends_of(peers).discard(peers.cap_bps)
        peers.turn(bound, self._clock(peers), self._now_s if bound else self._level_bits)
        self._count(peers, flows)
        self._note(peers)

    def _join(self, cap_bps: float) -> _Peers:
        """New peers, on the side of the level where they will probably stay."""
        index = bisect_left(self._caps, cap_bps)
        bound = index < self._bound_peers or (index == self._bound_peers and cap_bps < self._level_bps)
        self._caps.insert(index, cap_bps)
        self._bound_peers += bound
        peers = self._peers[cap_bps] = _Peers(cap_bps, bound, self._now_s if bound else self._level_bits)
        return peers

    def _drop(self, flow: int) -> int:
        peers, _ = self._flows.pop(flow)
        peers.ends.discard(flow)
        self._count(peers, -1)
        if peers.ends:
            self._note(peers)
        else:
            self._leave(peers)
        return flow

    def _leave(self, peers: _Peers) -> None:
        cap_bps = peers.cap_bps
        del self._peers[cap_bps]
        del self._caps[bisect_left(self._caps, cap_bps)]
        self._ends_of(peers).discard(cap_bps)
        self._bound_peers -= peers.bound
        if not self._bound_peers:
            self._bound_bps = 0.0  # without what rounding has left

    def _count(self, peers: _Peers, flows: int) -> None:
        """So many more flows, which count apart only where they are bound."""
        self._settled = False
        if peers.bound:
            self._bound_flows += flows
            self._bound_bps += flows * peers.cap_bps

    def _note(self, peers: _Peers) -> None:
        end = peers.next()
        if end < inf:
            self._ends_of(peers).put(peers.cap_bps, end)
        else:
            self._ends_of(peers).discard(peers.cap_bps)

    def _ends_of(self, peers: _Peers) -> LazyHeap:
        return self._bound_ends if peers.bound else self._free_ends

    def _first_of(self, cap_bps: float) -> tuple[int, float]:
        """The flow of these peers that is done first, and its bits."""
        flow = int(self._peers[cap_bps].ends.first()[1])
        return flow, self._flows[flow][1]

    def _clock(self, peers: _Peers) -> float:
        return self._now_s if peers.bound else self._level_bits

    def _rebase(self) -> None:
        """Begin the level bits again at zero, so that rounding stays small beside the flows' own bits."""
        before, self._level_bits = self._level_bits, 0.0
        for peers in self._peers.values():
            if peers.bound:
                peers.rebase(self._now_s, self._now_s)
            else:
                peers.rebase(before, 0.0)
            self._note(peers)
        self._rebase_bits = _REBASE * max(bits for _, bits in self._flows.values())
