"""Visits that something shared or absent slows down: carried out stage by stage.

A visit is a delay and a transfer, the training, a delay and a transfer, and each ends by an event of its own.
Transfers over shared links are flows of the fluid model; over a device's own link they have an end. A device
that leaves loses its visit, or pauses it and goes on when it is back. In an outage transfers stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import cast

import numpy as np
import simpy

from edgesim.devices.rates import Rates
from edgesim.devices.speed import Speed
from edgesim.learner import Workload
from edgesim.server.events import Arrived, Lost, Outcome
from edgesim.simulation.charge import Charge
from edgesim.simulation.clock import Clock, Turn
from edgesim.simulation.links import FluidLinks
from edgesim.simulation.staged import Stage, StagedVisit, State
from edgesim.simulation.surroundings import Routes, Stays
from edgesim.simulation.transfers import Transfers
from edgesim.simulation.visits import Ending
from edgesim.simulation.warmth import Warmth

_MOMENT_S = 1e-3  # a battery that lasts no longer than this is empty


class Stages:
    """Carries staged visits out.

    Args:
        clock: of the run.
        speed: how fast devices work.
        rates: of the devices' own links over time; null where all of them are constant.
        warmth: how hot they are.
        stays: how long they stay.
        charge: of their batteries; null where they are plugged in.
        links: shared links.
        routes: which of them a device's transfers cross.
        tell: is told of each visit that has ended.

    Attributes:
        transfers: of all visits.
    """

    def __init__(
        self,
        clock: Clock,
        speed: Speed,
        rates: Rates | None,
        warmth: Warmth,
        stays: Stays,
        charge: Charge | None,
        links: FluidLinks,
        routes: Routes,
        tell: Callable[[StagedVisit, Ending], None],
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._varies = speed.varies
        self._warmth = warmth
        self._stays = stays
        self._charge = charge
        self._tell = tell
        self.transfers = Transfers(clock, rates, links, routes, self._part_over, self._heard)
        self._visits: dict[int, StagedVisit] = {}
        self._standing: Callable[[int], bool] = lambda device: False  # noqa: ARG005

    def begin(self, visits: Sequence[StagedVisit], workloads: Sequence[Workload]) -> None:
        """Send a batch of visits out now."""
        self.transfers.send(visits, workloads)
        for visit in visits:
            self._visits[visit.order.dispatch] = visit
            visit.enter(Stage.DOWNLOAD)
            self._arrive(visit)
            self._run(visit)

    def halt(self, visit: StagedVisit) -> None:
        """Stop a visit for good, and write down how far it has come."""
        self._stop(visit, State.OVER)
        visit.stay += 1
        self._visits.pop(visit.order.dispatch, None)

    def stand(self, standing: Callable[[int], bool], server: bool) -> None:
        """From now on the transfers of these devices stand still, and those of all others go on.

        Args:
            standing: whether those of a device do.
            server: whether the server sends nothing at all.
        """
        self._standing = standing
        self.transfers.stand(server)
        for visit in tuple(self._visits.values()):
            if visit.stage is Stage.COMPUTE or visit.state not in (State.RUNNING, State.STALLED):
                continue
            if standing(visit.order.device) != (visit.state is State.STALLED):
                self._stop(visit, State.STALLED)
                self._run(visit)

    def lose_transfers(self) -> None:
        """Whatever is on its way between server and devices is lost."""
        self.transfers.lose()
        for visit in tuple(self._visits.values()):
            if visit.stage is not Stage.COMPUTE and visit.state is not State.OVER:
                self._drop(visit)

    def _stop(self, visit: StagedVisit, state: State) -> None:
        """Stop a visit where it is, for now."""
        if visit.state is State.PAUSED:
            visit.paused_s += self._clock.now - visit.since_s
        elif visit.state is not State.OVER:
            if visit.state is State.RUNNING:
                self._progress(visit, self._clock.now - visit.since_s)
            self._account(visit)
        visit.state, visit.since_s = state, self._clock.now
        visit.ticket += 1

    def _account(self, visit: StagedVisit) -> None:
        """Write down the seconds, and take off the battery the joules, since the visit last changed."""
        spent_s = self._clock.now - visit.since_s
        visit.seconds[visit.stage] += spent_s
        if self._charge is not None:
            joules = visit.energy_j() - visit.paid_j
            self._charge.spend(visit.order.device, visit.since_s, [(spent_s, joules)])
            visit.paid_j += joules

    def _drop(self, visit: StagedVisit) -> None:
        self.halt(visit)
        self._tell(visit, Lost(visit.order.dispatch, Outcome.DROPPED, visit.report(visit.stage)))

    def _progress(self, visit: StagedVisit, spent_s: float) -> None:
        """Take off what was done since the visit last began to run."""
        if visit.stage is Stage.COMPUTE:
            visit.left = max(0.0, visit.left - self._trained(visit, spent_s))
        elif visit.delay_s:
            visit.delay_s = max(0.0, visit.delay_s - spent_s)
        else:
            visit.left = self.transfers.stop(visit, spent_s)

    def _trained(self, visit: StagedVisit, spent_s: float) -> float:
        """Nominal seconds of training done in so many seconds; the device is warmer by them."""
        if not self._varies:
            return spent_s
        one = np.array([visit.order.device])
        heat = self._warmth.at(one, visit.since_s)
        self._warmth.worked(visit.order.device, visit.since_s, spent_s)
        done_s = self._speed.nominal_done(one, np.array([visit.since_s]), heat, np.array([spent_s]))
        return float(done_s[0])

    def _run(self, visit: StagedVisit) -> None:
        """Carry on with the stage that the visit is at."""
        visit.state, visit.since_s = State.RUNNING, self._clock.now
        visit.ticket += 1
        if visit.stage is Stage.COMPUTE:
            self._call(visit, self._training_s(visit))
        elif self._standing(visit.order.device):
            visit.state = State.STALLED
        elif visit.delay_s:
            self._call(visit, visit.delay_s)
        else:
            self.transfers.begin(visit)
        if self._charge is not None:
            self._watch_battery(visit, self._charge)

    def _watch_battery(self, visit: StagedVisit, charge: Charge) -> None:
        """Look again when the battery is empty at the latest, were the transfer as fast as it can be."""
        after_s = charge.hit_s(visit.order.device, visit.most_w)
        if after_s < inf:
            at_s = self._clock.now + after_s
            value = (visit, visit.ticket)
            self._clock.call_at(at_s, Turn.LEAVE, visit.order.dispatch, self._on_empty, value)

    def _on_empty(self, event: simpy.Event) -> None:
        visit, ticket = cast("tuple[StagedVisit, int]", event.value)
        if ticket != visit.ticket or self._charge is None:
            return
        self._stop(visit, visit.state)
        if self._charge.hit_s(visit.order.device, visit.most_w) < _MOMENT_S:
            self._drop(visit)
        else:
            self._run(visit)

    def _training_s(self, visit: StagedVisit) -> float:
        if not self._varies:
            return visit.left
        one, now_s = np.array([visit.order.device]), self._clock.now
        heat = self._warmth.at(one, now_s)
        seconds, _ = self._speed.seconds(np.array([visit.left]), one, np.array([now_s]), heat)
        return float(seconds[0])

    def _call(self, visit: StagedVisit, after_s: float) -> None:
        dispatch = visit.order.dispatch
        at_s = self._clock.now + after_s
        self._clock.call_at(at_s, Turn.PHASE, dispatch, self._on_part, (visit, visit.ticket))

    def _on_part(self, event: simpy.Event) -> None:
        visit, ticket = cast("tuple[StagedVisit, int]", event.value)
        if ticket == visit.ticket:
            self._part_over(visit)

    def _part_over(self, visit: StagedVisit) -> None:
        """A delay, a transfer or the training of a running visit is over."""
        delayed = visit.delay_s > 0
        if visit.stage is Stage.COMPUTE:
            self._trained(visit, self._clock.now - visit.since_s)
        if not delayed:
            visit.left = 0.0
        self._account(visit)
        if delayed:
            visit.delay_s = 0.0
            self._run(visit)
        else:
            self._stage_over(visit)

    def _heard(self, visit: StagedVisit) -> None:
        """A multicast has sent the last part of a visit's download."""
        visit.stream = None
        if visit.state is State.LISTENING:
            self._account(visit)
            self._stage_over(visit)

    def _stage_over(self, visit: StagedVisit) -> None:
        visit.since_s = self._clock.now
        visit.ticket += 1
        if visit.stage is Stage.DOWNLOAD and visit.stream is not None:
            visit.state = State.LISTENING
        elif visit.stage is Stage.DOWNLOAD and not visit.fits:
            self._finish(visit, Lost(visit.order.dispatch, Outcome.OUT_OF_MEMORY, visit.report(1)))
        elif visit.stage is not Stage.UPLOAD:
            visit.enter(Stage(visit.stage + 1))
            self._run(visit)
        elif visit.corrupted:
            self._finish(visit, Lost(visit.order.dispatch, Outcome.REJECTED, visit.report(3)))
        else:
            self._finish(visit, Arrived(visit.order.dispatch, visit.report(3)))

    def _finish(self, visit: StagedVisit, ending: Ending) -> None:
        """Report at the turn of reports, so that those of one instant come in dispatch order."""
        visit.state = State.OVER
        visit.stay += 1
        del self._visits[visit.order.dispatch]
        value = (visit, visit.ticket, ending)
        self._clock.call_at(self._clock.now, Turn.REPORT, visit.order.dispatch, self._on_report, value)

    def _on_report(self, event: simpy.Event) -> None:
        visit, ticket, ending = cast("tuple[StagedVisit, int, Ending]", event.value)
        if ticket == visit.ticket:
            self._tell(visit, ending)

    def _arrive(self, visit: StagedVisit) -> None:
        """The device is present from now on, until it leaves or fails."""
        now_s = self._clock.now
        visit.stretch_s = now_s
        visit.stay += 1
        if self._stays.always and visit.failure_s == inf:
            return
        one = np.array([visit.order.device])
        leaves_s, fails_s = float(self._stays.until_s(one, now_s)[0]), now_s + visit.failure_s
        if min(leaves_s, fails_s) < inf:
            value = (visit, visit.stay, fails_s <= leaves_s)
            self._clock.call_at(min(leaves_s, fails_s), Turn.LEAVE, visit.order.dispatch, self._on_cut, value)

    def _on_cut(self, event: simpy.Event) -> None:
        visit, stay, fails = cast("tuple[StagedVisit, int, bool]", event.value)
        if stay != visit.stay:
            return
        visit.failure_s = max(0.0, visit.failure_s - (self._clock.now - visit.stretch_s))
        back_s = inf if fails else self._back_s(visit)
        if back_s == inf:
            self._drop(visit)
            return
        self._stop(visit, State.PAUSED)
        visit.stay += 1
        value = (visit, visit.stay)
        self._clock.call_at(back_s, Turn.LEAVE, visit.order.dispatch, self._on_return, value)

    def _back_s(self, visit: StagedVisit) -> float:
        """When a device that leaves now takes its work up again; infinite if it does not."""
        one = np.array([visit.order.device])
        if not self._stays.pauses(one)[0]:
            return inf
        return float(self._stays.next_s(one, self._clock.now)[0])

    def _on_return(self, event: simpy.Event) -> None:
        visit, stay = cast("tuple[StagedVisit, int]", event.value)
        if stay == visit.stay:
            visit.paused_s += self._clock.now - visit.since_s
            self._arrive(visit)
            self._run(visit)
