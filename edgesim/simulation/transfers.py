"""The transfers of staged visits: over a device's own link, over shared ones, out of a multicast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import cast

import numpy as np
import simpy

from edgesim.devices.rates import Rates
from edgesim.learner import Workload
from edgesim.simulation.clock import Clock, Turn
from edgesim.simulation.links import FluidLinks
from edgesim.simulation.multicast import Multicast
from edgesim.simulation.staged import Stage, StagedVisit
from edgesim.simulation.surroundings import Routes


class Transfers:
    """Carries what is left of the transfer that a visit is at.

    Args:
        clock: of the run.
        rates: of the devices' own links over time; null where all of them are constant.
        links: shared links.
        routes: which of them a device's transfers cross.
        done: is told of each visit whose transfer is over.
        heard: is told of each visit that a multicast has sent all of its download.

    Attributes:
        unsettled: whether the links have felt something at this instant, so that `settle` is due at its end.
    """

    def __init__(
        self,
        clock: Clock,
        rates: Rates | None,
        links: FluidLinks,
        routes: Routes,
        done: Callable[[StagedVisit], None],
        heard: Callable[[StagedVisit], None],
    ) -> None:
        self._clock = clock
        self._rates = rates
        self._links = links
        self._routes = routes
        self._done = done
        self._multicast = Multicast(clock, links, routes, heard)
        self._flows: dict[int, StagedVisit] = {}
        self._link_call = 0
        self.unsettled = False

    def send(self, visits: Sequence[StagedVisit], workloads: Sequence[Workload]) -> None:
        """The server begins to send a batch of downloads."""
        self._multicast.send(visits, workloads)
        self.unsettled = True

    def stand(self, still: bool) -> None:
        """From now on the server sends nothing, or goes on."""
        self._multicast.stand(still)
        self.unsettled = True

    def lose(self) -> None:
        """What the server is sending is lost."""
        self._multicast.lose()
        self.unsettled = True

    def stop(self, visit: StagedVisit, spent_s: float) -> float:
        """Stop a transfer that has gone on for so long; the bits that are left of it."""
        flow = _flow(visit)
        if flow in self._flows:
            del self._flows[flow]
            self.unsettled = True
            return self._links.remove(flow, self._clock.now)
        return max(0.0, visit.left - self._carried(visit, spent_s))

    def begin(self, visit: StagedVisit) -> None:
        """Go on with a transfer."""
        order, direction = visit.order, visit.direction
        bps, until_s = visit.bps[visit.stage], inf
        varies = self._rates is not None and self._rates.varies(direction, order.device)
        route = self._routes.route(direction, order.device)
        if not route:
            self._alone(visit, self._alone_s(visit) if varies else visit.left / bps)
            return
        if self._rates is not None and varies:
            bps, until_s = self._rates.rate_at(direction, order.device, order.visit, self._clock.now)
        flow = _flow(visit)
        self._flows[flow] = visit
        self._links.add(flow, visit.left, route, bps, self._clock.now)
        self._cap_until(visit, until_s)
        self.unsettled = True

    def _alone_s(self, visit: StagedVisit) -> float:
        """Seconds that what is left of a transfer takes over a device's own link of varying rate."""
        assert self._rates is not None
        order = visit.order
        bits, now = np.array([visit.left]), np.array([self._clock.now])
        one, nth = np.array([order.device]), np.array([order.visit])
        return float(self._rates.transfer_s(visit.direction, bits, one, nth, now)[0])

    def _cap_until(self, visit: StagedVisit, until_s: float) -> None:
        if until_s < inf:
            value = (visit, visit.ticket)
            self._clock.call_at(until_s, Turn.PHASE, visit.order.dispatch, self._on_cap, value)

    def _on_cap(self, event: simpy.Event) -> None:
        """The rate of the device's own link changes while its transfer crosses shared ones."""
        visit, ticket = cast("tuple[StagedVisit, int]", event.value)
        if ticket == visit.ticket and self._rates is not None:
            order, now_s = visit.order, self._clock.now
            bps, until_s = self._rates.rate_at(visit.direction, order.device, order.visit, now_s)
            self._links.set_cap(_flow(visit), bps, now_s)
            self._cap_until(visit, until_s)
            self.unsettled = True

    def _alone(self, visit: StagedVisit, after_s: float) -> None:
        """The transfer has a link of its own, and an end."""
        at_s = self._clock.now + after_s
        value = (visit, visit.ticket)
        self._clock.call_at(at_s, Turn.PHASE, visit.order.dispatch, self._on_end, value)

    def _on_end(self, event: simpy.Event) -> None:
        visit, ticket = cast("tuple[StagedVisit, int]", event.value)
        if ticket == visit.ticket:
            self._done(visit)

    def _carried(self, visit: StagedVisit, spent_s: float) -> float:
        """Bits that a device's own link has carried since the visit last began to run."""
        order, direction = visit.order, visit.direction
        if self._rates is None or not self._rates.varies(direction, order.device):
            return visit.bps[visit.stage] * spent_s
        until_s = visit.since_s + spent_s
        return self._rates.bits_between(direction, order.device, order.visit, visit.since_s, until_s)

    def settle(self) -> None:
        """Ask the links for their next end, once everything of an instant that they felt has happened."""
        self.unsettled = False
        self._multicast.begin()
        self._link_call += 1
        at_s = self._links.next_s()
        if at_s < inf:
            self._clock.call_at(at_s, Turn.LINKS, 0, self._on_links, self._link_call)

    def _on_links(self, event: simpy.Event) -> None:
        if event.value == self._link_call:
            for flow in self._links.advance(self._clock.now):
                if flow < 0:
                    self._multicast.sent(flow)
                else:
                    self._done(self._flows.pop(flow))
            self.unsettled = True


def _flow(visit: StagedVisit) -> int:
    """Number of the flow of a visit's present transfer."""
    return 2 * visit.order.dispatch + (visit.stage is Stage.UPLOAD)
