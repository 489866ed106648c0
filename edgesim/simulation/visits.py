"""Visits that nothing shared slows down: known to their end when they begin, one heap entry each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from edgesim.devices.cost import Phases
from edgesim.learner import Order
from edgesim.server.events import Arrived, Lost, VisitReport


class Visit(Protocol):
    """A visit in flight."""

    @property
    def order(self) -> Order:
        """What was asked for."""
        ...

    def report_until(self, now_s: float) -> VisitReport:
        """What it has taken so far; a phase that is cut off has cost its share of energy."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DirectVisit:
    """A visit with its row among the phases of its batch.

    Attributes:
        order: what was asked for.
        phases: of the batch.
        row: of the visit there.
        basis: how its seconds are known.
    """

    order: Order
    phases: Phases
    row: int
    basis: str

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
        return VisitReport(done[0], done[1], done[2], known(energy_j), self.basis)

    def trained_s(self, now_s: float) -> float:
        """Seconds of training so far."""
        begin_s = self.order.time_s + float(self.phases.download_s[self.row])
        spent_s = min(now_s - begin_s, float(self.phases.compute_s[self.row]))
        return max(0.0, spent_s) if self.phases.fits[self.row] else 0.0


Ending = Arrived | Lost


def known(energy_j: float) -> float | None:
    """Joules, or null where they are not known."""
    return None if math.isnan(energy_j) else energy_j
