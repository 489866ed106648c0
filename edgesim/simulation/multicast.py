"""Parts of downloads that several devices need, sent once over the server's uplink.

What is sent out at one instant makes one stream. It carries each part of a version once, that of the smallest
download first. A download is over when the stream has sent the last of its parts and the device's own links
have carried all of them. With nested parts (incremental model shipping, algorithms 3.7 (2)) a device with
download rate r that needs S bytes from a server with uplink rate u is done after S / min(u, r).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import cast

import simpy

from edgesim.learner import Workload
from edgesim.simulation.clock import Clock, Turn
from edgesim.simulation.links import FluidLinks
from edgesim.simulation.staged import StagedVisit
from edgesim.simulation.surroundings import Routes


@dataclass(slots=True, eq=False)
class Stream:
    """One multicast.

    Attributes:
        flow: number of its flow, below zero.
        bits: of the parts that are still to be sent, the next one last.
        listeners: per part, in the same order, the visits that it is the last one of.
    """

    flow: int
    bits: list[float] = field(default_factory=list)
    listeners: list[list[StagedVisit]] = field(default_factory=list)


class Multicast:
    """Sends streams over the server's uplink; nothing is held back where that has no limit.

    Args:
        clock: of the run.
        links: shared links.
        routes: with the server's uplink among them.
        heard: is told of each visit that has been sent all of its download.
    """

    def __init__(
        self, clock: Clock, links: FluidLinks, routes: Routes, heard: Callable[[StagedVisit], None]
    ) -> None:
        self._clock = clock
        self._links = links
        self._uplink = routes.multicast_link
        self._heard = heard
        self._streams: dict[int, Stream] = {}
        self._gathered: list[tuple[StagedVisit, Workload]] = []
        self._next = Stream(-1)
        self._cap_bps = inf

    def send(self, visits: Sequence[StagedVisit], workloads: Sequence[Workload]) -> None:
        """Let the stream of this instant carry these downloads; both belong together by position."""
        if self._uplink is None or not visits:
            return
        for visit in visits:
            visit.stream = self._next
        self._gathered.extend(zip(visits, workloads, strict=True))

    def begin(self) -> None:
        """Begin the stream of this instant, once everything of it has been sent."""
        if not self._gathered:
            return
        stream, sent = self._next, dict[tuple[int, str], int]()
        for visit, workload in sorted(self._gathered, key=lambda pair: pair[1].bytes_down):
            keys = [(visit.order.version, part.key) for part in workload.parts_down]
            for key, part in zip(keys, workload.parts_down, strict=True):
                if key not in sent:
                    sent[key] = len(sent)
                    stream.bits.append(8.0 * part.bytes)
                    stream.listeners.append([])
            stream.listeners[max(sent[key] for key in keys)].append(visit)
        stream.bits.reverse()
        stream.listeners.reverse()
        self._gathered.clear()
        self._next = Stream(stream.flow - 1)
        self._streams[stream.flow] = stream
        self._send_next(stream)

    def sent(self, flow: int) -> None:
        """A stream has sent a part."""
        stream = self._streams[flow]
        stream.bits.pop()
        for visit in stream.listeners.pop():
            at_s = self._clock.now + visit.latency_s
            self._clock.call_at(at_s, Turn.PHASE, visit.order.dispatch, self._on_heard, (visit, stream))
        self._send_next(stream)

    def stand(self, still: bool) -> None:
        """From now on the server sends nothing, or goes on."""
        cap_bps = 0.0 if still else inf
        if cap_bps != self._cap_bps:
            self._cap_bps = cap_bps
            for flow in self._streams:
                self._links.set_cap(flow, cap_bps, self._clock.now)

    def lose(self) -> None:
        """Whatever is being sent is lost."""
        for flow in self._streams:
            self._links.remove(flow, self._clock.now)
        self._streams.clear()
        self._gathered.clear()

    def _send_next(self, stream: Stream) -> None:
        if stream.bits:
            assert self._uplink is not None
            self._links.add(stream.flow, stream.bits[-1], (self._uplink,), self._cap_bps, self._clock.now)
        else:
            del self._streams[stream.flow]

    def _on_heard(self, event: simpy.Event) -> None:
        visit, stream = cast("tuple[StagedVisit, Stream]", event.value)
        if visit.stream is stream:
            self._heard(visit)
