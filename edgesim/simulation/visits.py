"""Visits that nothing shared slows down: known to their end when they begin, one heap entry each."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
        done: list[float | None] = [None, None, None]
        energy_j = 0.0
        for phase, (seconds, joules, completed) in enumerate(self.spent(now_s)):
            done[phase] = seconds if completed else None
            energy_j += joules
        return VisitReport(done[0], done[1], done[2], known(energy_j), self.basis)

    def spent(self, now_s: float) -> Iterator[tuple[float, float, bool]]:
        """Seconds and joules of each phase so far, and whether it is completed."""
        end_s = self.order.time_s
        for seconds, joules in self.phases.steps()[: 3 if self.phases.fits[self.row] else 1]:
            whole_s, whole_j = float(seconds[self.row]), float(joules[self.row])
            begin_s, end_s = end_s, end_s + whole_s
            if end_s > now_s:
                yield now_s - begin_s, whole_j * (now_s - begin_s) / whole_s, False
                return
            yield whole_s, whole_j, True

    def trained_s(self, now_s: float) -> float:
        """Seconds of training so far."""
        begin_s = self.order.time_s + float(self.phases.download_s[self.row])
        spent_s = min(now_s - begin_s, float(self.phases.compute_s[self.row]))
        return max(0.0, spent_s) if self.phases.fits[self.row] else 0.0


Ending = Arrived | Lost


def known(energy_j: float) -> float | None:
    """Joules, or null where they are not known."""
    return None if math.isnan(energy_j) else energy_j
