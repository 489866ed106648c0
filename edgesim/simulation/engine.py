"""The SimPy driver: it knows how long visits take and tells the server when they end.

A visit that nothing shared slows down is known to its end when it begins: one heap entry, at that time. The
others are carried out stage by stage (`stages`). Idle devices cost nothing. Within one instant devices come
before reports, and these in dispatch order before timers of policy, evaluation and time limit (`clock`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import numpy as np
import simpy
from numpy.typing import NDArray

from edgesim.devices.cost import Demands, Phases
from edgesim.devices.rates import Rates
from edgesim.devices.speed import Speed
from edgesim.errors import RunFailed
from edgesim.learner import Order, Workload
from edgesim.server.effects import Abort, Finish, SetTimer, Start
from edgesim.server.events import Begin, DriverEvent, Fired, Lost, Outcome, VisitReport
from edgesim.server.server import Server
from edgesim.simulation.charge import Charge
from edgesim.simulation.clock import TURN_OF, Clock, Turn
from edgesim.simulation.links import FluidLinks
from edgesim.simulation.outages import OutageWatch
from edgesim.simulation.staged import StagedVisit, staged
from edgesim.simulation.stages import Stages
from edgesim.simulation.surroundings import CALM, Mishaps, Routes, Stays
from edgesim.simulation.visits import Activity, DirectVisit, Ending, Took, Visit
from edgesim.simulation.warmth import Warmth

Numbers = NDArray[np.int64]


class Cost(Protocol):
    """What visits cost on the devices of a fleet."""

    @property
    def speed(self) -> Speed:
        """How fast the devices work over time."""
        ...

    def demands(self, workloads: Sequence[Workload], devices: Numbers, visits: Numbers) -> Demands:
        """What these visits ask of their devices; a visit is named by its device and its number there."""
        ...

    def demand(self, workload: Workload, device: int, visit: int) -> Demands:
        """The same of a single visit, in numbers: to the last digit what an array of one would hold."""
        ...

    @property
    def rates(self) -> Rates | None:
        """The rates of the devices' own links over time; null where all of them are constant."""
        ...

    def phases(self, demands: Demands, start_s: NDArray[np.float64], heat: NDArray[np.float64]) -> Phases:
        """What visits take that nothing disturbs, begun at these times by devices as hot as this."""
        ...

    def basis(self, workload: Workload, device: int) -> str:
        """How the seconds of this workload on this device are known."""
        ...


Observer: TypeAlias = Callable[[float, DriverEvent], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Cancelled:
    """A visit that was given up and has still to say so."""

    order: Order
    report: VisitReport

    def ending(self) -> Ending:
        """What it says."""
        return Lost(self.order.dispatch, Outcome.CANCELLED, self.report)

    def report_until(self, now_s: float) -> VisitReport:  # noqa: ARG002
        """What it took."""
        return self.report

    def activity(self, now_s: float) -> Activity:  # noqa: ARG002
        """What its device does."""
        return Activity.WAITING


class Simulation:
    """One run in virtual time.

    Args:
        server: the server of this run, not begun.
        cost: what visits take.
        observer: is told each event after the server.
        stays: when devices are there; a `Charge` where they run on batteries.
        routes: which links they share.
        mishaps: what goes wrong with visits.
        clock: of the run; one that keeps pace with the wall clock plays it.

    Attributes:
        reason: why the run has ended; null while it goes on.
    """

    def __init__(
        self,
        server: Server,
        cost: Cost,
        observer: Observer | None = None,
        *,
        stays: Stays = CALM,
        routes: Routes = CALM,
        mishaps: Mishaps = CALM,
        clock: Clock | None = None,
    ) -> None:
        self.server = server
        self._cost = cost
        self._observer = observer
        self._stays = stays
        self._routes = routes
        self._mishaps = mishaps
        self._clock = clock or Clock()
        self._in_flight: dict[int, Visit] = {}
        self.reason: str | None = None
        self._warmth = Warmth(cost.speed, server.view.devices)
        self.links = FluidLinks([float(bps) for bps in routes.capacities_bps])
        self._charge = stays if isinstance(stays, Charge) else None
        self._wearing = self._warmth.matters or self._charge is not None
        self._sharing = len(routes.capacities_bps) > 0
        disturbed = mishaps.ever or mishaps.faults.interrupt or stays.may_pause or self._charge is not None
        self._steady = not (disturbed or cost.rates or cost.speed.varies)
        self._stages = Stages(
            self._clock,
            cost.speed,
            cost.rates,
            self._warmth,
            stays,
            self._charge,
            self.links,
            routes,
            self._staged_ended,
        )

    def run(self) -> str:
        """Run to the end; the reason why it ended.

        Raises:
            RunFailed: the run cannot be completed, or what a visit takes is not a time.
        """
        if self._mishaps.faults.interrupt:
            group = self.server.view.roster.group
            OutageWatch(self._clock, self._stages, self._mishaps.faults, group).begin()
        transfers = self._stages.transfers
        self._tell(Begin())
        while self.reason is None:
            if transfers.unsettled and self._clock.peek() > self._clock.now:
                transfers.settle()
            self._clock.step()
        for visit in tuple(self._in_flight.values()):
            report = visit.report_until(self._clock.now)
            self._worked(visit)
            self._tell(Lost(visit.order.dispatch, Outcome.UNFINISHED, report))
        return self.reason

    @property
    def shown_s(self) -> float:
        """The virtual time to show to people; the clock's own, or that of one that is played."""
        return self._clock.shown_s

    def activities(self) -> Mapping[Activity, int]:
        """How many devices of visits in flight do what."""
        now_s = self._clock.shown_s
        return Counter(visit.activity(now_s) for visit in self._in_flight.values())

    def _tell(self, event: DriverEvent) -> None:
        for effect in self.server.handle(event, self._clock.now):
            match effect:
                case Start():
                    self._start(*effect)
                case SetTimer(at_s, _, kind):
                    self._clock.call_at(at_s, TURN_OF[kind], 0, self._on_timer, effect)
                case Abort(dispatches):
                    self._abort(dispatches)
                case Finish(reason):
                    self.reason = reason
        if self._observer is not None:
            self._observer(self._clock.now, event)

    def _start(self, orders: tuple[Order, ...], workloads: tuple[Workload, ...]) -> None:
        if len(orders) == 1 and self._steady:
            self._start_one(orders[0], workloads[0])
            return
        devices = np.array([order.device for order in orders], dtype=np.int64)
        visits = np.array([order.visit for order in orders], dtype=np.int64)
        demands = self._cost.demands(workloads, devices, visits)
        failure_s = self._mishaps.failure_s(devices, visits)
        corrupted = self._mishaps.corrupted(devices, visits)
        by_stages = self._by_stages(devices)
        direct = np.flatnonzero(~by_stages)
        if direct.size == len(orders):
            self._start_direct(orders, workloads, demands, failure_s, corrupted)
        elif direct.size:
            some = [orders[row] for row in direct.tolist()]
            works = [workloads[row] for row in direct.tolist()]
            chosen = demands.rows(direct)
            self._start_direct(some, works, chosen, failure_s[direct], corrupted[direct])
        rows = np.flatnonzero(by_stages).tolist()
        fates = zip(failure_s.tolist(), corrupted.tolist(), strict=True)
        begun = [
            staged(
                orders[row],
                demands.row(row),
                self._cost.basis(workloads[row], orders[row].device),
                *fate,
                self._stages,
            )
            for row, fate in enumerate(fates)
            if by_stages[row]
        ]
        self._begin_staged(begun, [workloads[row] for row in rows])

    def _start_one(self, order: Order, workload: Workload) -> None:
        """A visit by itself, in numbers instead of arrays of one."""
        device, basis = order.device, self._cost.basis(workload, order.device)
        demand = self._cost.demand(workload, device, order.visit)
        if self._sharing and (self._routes.multicast_link is not None or self._crosses(device)):
            self._begin_staged([staged(order, demand, basis, math.inf, False, self._stages)], [workload])
            return
        visit = DirectVisit(order, cast(Took, demand.phases()), basis, False)
        self._begin(visit, math.inf if self._stays.always else self._leaves_s(device))

    def _begin_staged(self, visits: Sequence[StagedVisit], workloads: Sequence[Workload]) -> None:
        self._in_flight.update((visit.order.dispatch, visit) for visit in visits)
        self._stages.begin(visits, workloads)

    def _crosses(self, device: int) -> bool:
        """Whether a transfer of this device crosses a shared link."""
        return bool(self._routes.route("down", device) or self._routes.route("up", device))

    def _leaves_s(self, device: int) -> float:
        return float(self._stays.until_s(np.array([device]), self._clock.now)[0])

    def _begin(self, visit: DirectVisit, cut_s: float) -> None:
        """Put the end of a visit on the heap, or that of the device's stay where this is sooner."""
        order, end_s = visit.order, visit.end_s
        if not order.time_s <= end_s < math.inf:
            self._no_time(order, end_s)
        self._in_flight[order.dispatch] = visit
        if cut_s < end_s:
            self._clock.call_at(cut_s, Turn.LEAVE, order.dispatch, self._on_cut, visit)
        else:
            self._clock.call_at(end_s, Turn.REPORT, order.dispatch, self._on_end, visit)

    def _by_stages(self, devices: Numbers) -> NDArray[np.bool_]:
        """Which of these devices' visits are carried out stage by stage."""
        if self._mishaps.faults.interrupt or self._routes.multicast_link is not None:
            return np.ones(len(devices), dtype=bool)
        chosen = self._stays.pauses(devices)
        if self._sharing:
            chosen = chosen | np.array([self._crosses(device) for device in devices.tolist()])
        return chosen

    def _start_direct(
        self,
        orders: Sequence[Order],
        workloads: Sequence[Workload],
        demands: Demands,
        failure_s: NDArray[np.float64],
        corrupted: NDArray[np.bool_],
    ) -> None:
        now_s, devices = self._clock.now, demands.devices
        start_s = np.full(len(orders), now_s)
        phases = self._cost.phases(demands, start_s, self._warmth.at(devices, now_s))
        cut_s = np.minimum(self._stays.until_s(devices, now_s), now_s + failure_s)
        if self._charge is not None:
            cut_s = np.minimum(cut_s, self._charge.empty_s(devices, now_s, phases))
        took = zip(*(column.tolist() for column in phases), strict=True)
        basis = self._cost.basis
        each = zip(orders, workloads, took, cut_s.tolist(), corrupted.tolist(), strict=True)
        for order, workload, of_it, cut, spoilt in each:
            self._begin(DirectVisit(order, of_it, basis(workload, order.device), spoilt), cut)

    def _no_time(self, order: Order, end_s: float) -> None:
        raise RunFailed(
            f"device {order.device}: dispatch {order.dispatch} would end at {end_s} s, having begun at "
            f"{order.time_s} s; look at the rates and the network of its profile"
        )

    def _abort(self, dispatches: tuple[int, ...]) -> None:
        """Give visits up; each answers after whatever else reports at this instant."""
        now_s = self._clock.now
        for dispatch in dispatches:
            visit = self._in_flight[dispatch]
            self._in_flight[dispatch] = cancelled = _Cancelled(visit.order, visit.report_until(now_s))
            self._clock.call_at(now_s, Turn.REPORT, dispatch, self._on_end, cancelled)
            self._worked(visit)

    def _on_end(self, event: simpy.Event) -> None:
        visit = cast("DirectVisit | _Cancelled", event.value)
        if self._in_flight.get(visit.order.dispatch) is visit:  # else it was cancelled in the meantime
            self._over(visit, visit.ending())

    def _on_cut(self, event: simpy.Event) -> None:
        """A device leaves or fails before its visit is at its end."""
        visit = cast(DirectVisit, event.value)
        dispatch = visit.order.dispatch
        if self._in_flight.get(dispatch) is visit:
            self._over(visit, Lost(dispatch, Outcome.DROPPED, visit.report_until(self._clock.now)))

    def _over(self, visit: Visit, end: Ending) -> None:
        del self._in_flight[visit.order.dispatch]
        if self._wearing:
            self._worked(visit)
        self._tell(end)

    def _staged_ended(self, visit: StagedVisit, end: Ending) -> None:
        del self._in_flight[visit.order.dispatch]
        self._tell(end)

    def _worked(self, visit: Visit) -> None:
        """A visit is over: its device has got warm by it, and its battery is so much emptier."""
        if not isinstance(visit, DirectVisit):
            return
        now_s, device = self._clock.now, visit.order.device
        if self._warmth.matters:
            begin_s = visit.order.time_s + visit.took[0]
            self._warmth.worked(device, begin_s, visit.trained_s(now_s))
        if self._charge is not None:
            spent = ((seconds, joules) for seconds, joules, _ in visit.spent(now_s))
            self._charge.spend(device, visit.order.time_s, spent)

    def _on_timer(self, event: simpy.Event) -> None:
        timer = cast(SetTimer, event.value)
        self._tell(Fired(timer.tag, timer.kind))
