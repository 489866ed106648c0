"""The SimPy driver: it knows how long visits take and tells the server when they end.

One heap entry per visit, at its absolute end; idle devices cost nothing. Within one instant reports come in
dispatch order, then the policy's timers, evaluations and the time limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heappush
from itertools import count
from typing import Protocol, TypeAlias, cast

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import EventPriority

from edgesim.devices.cost import Phases
from edgesim.errors import RunFailed
from edgesim.learner import Order, Workload
from edgesim.server.effects import Abort, Finish, SetTimer, Start
from edgesim.server.events import Arrived, Begin, DriverEvent, Fired, Lost, Outcome, VisitReport
from edgesim.server.server import Server

_REPORT = 0  # before every timer of the same instant, whose priorities are the values of TimerKind


class Cost(Protocol):
    """What visits cost on the devices of a fleet."""

    def phases(
        self, workloads: Sequence[Workload], devices: NDArray[np.int64], visits: NDArray[np.int64]
    ) -> Phases:
        """What these visits take; a visit is named by its device and its number there."""
        ...

    def basis(self, device: int) -> str:
        """How the numbers of this device are known."""
        ...


Observer: TypeAlias = Callable[[float, DriverEvent], None]


class _Environment(simpy.Environment):
    """SimPy's clock and heap, by absolute times: now + (t - now) may miss t by the last digit."""

    def call_at(
        self, at_s: float, priority: int, order: int, call: Callable[[simpy.Event], None], value: object
    ) -> None:
        """Call with an event that bears this value; ties of one instant go by priority, then by order."""
        event = simpy.Event(self)
        event._ok = True
        event._value = value
        event.callbacks.append(call)
        heappush(self._queue, (at_s, EventPriority(priority), order, event))


@dataclass(frozen=True, slots=True, eq=False)
class _Visit:
    """A visit in flight: the event that will end it, and its row among the phases of its batch."""

    order: Order
    end: Arrived | Lost
    phases: Phases
    row: int

    def report_until(self, now_s: float) -> VisitReport:
        """What the visit has taken so far; a phase that is cut off has cost its share of energy."""
        phases, row = self.phases, self.row
        steps = [(phases.download_s, phases.energy_download_j)]
        if phases.fits[row]:
            steps += [(phases.compute_s, phases.energy_compute_j), (phases.upload_s, phases.energy_upload_j)]
        done: list[float | None] = [None, None, None]
        end_s, energy_j = self.order.time_s, 0.0
        for i, (seconds, joules) in enumerate(steps):
            begin_s, end_s = end_s, end_s + float(seconds[row])
            if end_s > now_s:
                energy_j += float(joules[row]) * (now_s - begin_s) / (end_s - begin_s)
                break
            done[i] = float(seconds[row])
            energy_j += float(joules[row])
        return VisitReport(done[0], done[1], done[2], _or_none(energy_j), self.end.report.cost_basis)


class Simulation:
    """One run in virtual time.

    Args:
        server: the server of this run, not begun.
        cost: what visits take.
        observer: is told each event before the server is.
    """

    def __init__(self, server: Server, cost: Cost, observer: Observer | None = None) -> None:
        self._server = server
        self._cost = cost
        self._observer = observer
        self._env = _Environment()
        self._in_flight: dict[int, _Visit] = {}
        self._timers = count()
        self._reason: str | None = None

    def run(self) -> str:
        """Run to the end; the reason why it ended.

        Raises:
            RunFailed: the run cannot be completed, or what a visit takes is not a time.
        """
        self._tell(Begin())
        while self._reason is None:
            self._env.step()
        for visit in tuple(self._in_flight.values()):
            self._tell(Lost(visit.order.dispatch, Outcome.UNFINISHED, visit.report_until(self._env.now)))
        return self._reason

    def _tell(self, event: DriverEvent) -> None:
        if self._observer is not None:
            self._observer(self._env.now, event)
        for effect in self._server.handle(event, self._env.now):
            match effect:
                case Start(orders, workloads):
                    self._start(orders, workloads)
                case SetTimer(at_s, _, kind):
                    self._env.call_at(at_s, kind, next(self._timers), self._on_timer, effect)
                case Abort(dispatches):
                    self._abort(dispatches)
                case Finish(reason):
                    self._reason = reason

    def _start(self, orders: tuple[Order, ...], workloads: tuple[Workload, ...]) -> None:
        devices = np.array([order.device for order in orders], dtype=np.int64)
        visits = np.array([order.visit for order in orders], dtype=np.int64)
        phases = self._cost.phases(workloads, devices, visits)
        energy_j = phases.energy_download_j + phases.energy_compute_j + phases.energy_upload_j
        columns = (
            phases.download_s.tolist(),
            phases.compute_s.tolist(),
            phases.upload_s.tolist(),
            phases.energy_download_j.tolist(),
            energy_j.tolist(),
            phases.fits.tolist(),
        )
        rows = zip(orders, *columns, strict=True)
        for row, (order, download_s, compute_s, upload_s, download_j, visit_j, fits) in enumerate(rows):
            basis = self._cost.basis(order.device)
            end: Arrived | Lost
            if fits:
                seconds = download_s + compute_s + upload_s
                report = VisitReport(download_s, compute_s, upload_s, _or_none(visit_j), basis)
                end = Arrived(order.dispatch, report)
            else:
                seconds = download_s
                report = VisitReport(download_s, None, None, _or_none(download_j), basis)
                end = Lost(order.dispatch, Outcome.OUT_OF_MEMORY, report)
            self._put(_Visit(order, end, phases, row), order.time_s + seconds)

    def _put(self, visit: _Visit, end_s: float) -> None:
        dispatch = visit.order.dispatch
        if not visit.order.time_s <= end_s < math.inf:
            raise RunFailed(
                f"device {visit.order.device}: dispatch {dispatch} would end at {end_s} s, having begun at "
                f"{visit.order.time_s} s; look at the rates and the network of its profile"
            )
        self._in_flight[dispatch] = visit
        self._env.call_at(end_s, _REPORT, dispatch, self._on_end, visit)

    def _abort(self, dispatches: tuple[int, ...]) -> None:
        for dispatch in dispatches:
            visit = self._in_flight[dispatch]
            end = Lost(dispatch, Outcome.CANCELLED, visit.report_until(self._env.now))
            self._put(replace(visit, end=end), self._env.now)

    def _on_end(self, event: simpy.Event) -> None:
        visit = cast(_Visit, event.value)
        if self._in_flight.get(visit.order.dispatch) is visit:  # else it was cancelled in the meantime
            del self._in_flight[visit.order.dispatch]
            self._tell(visit.end)

    def _on_timer(self, event: simpy.Event) -> None:
        timer = cast(SetTimer, event.value)
        self._tell(Fired(timer.tag, timer.kind))


def _or_none(energy_j: float) -> float | None:
    return None if math.isnan(energy_j) else energy_j
