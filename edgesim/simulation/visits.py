"""Visits that nothing shared slows down: known to their end when they begin, one heap entry each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from edgesim.learner import Order
from edgesim.server.events import Arrived, Lost, Outcome, VisitReport


class Activity(StrEnum):
    """What a device does at a moment."""

    DOWNLOADING = "downloading"
    COMPUTING = "computing"
    UPLOADING = "uploading"
    WAITING = "waiting"
    ABSENT = "absent"


class Visit(Protocol):
    """A visit in flight."""

    @property
    def order(self) -> Order:
        """What was asked for."""
        ...

    def report_until(self, now_s: float) -> VisitReport:
        """What it has taken so far; a phase that is cut off has cost its share of energy."""
        ...

    def activity(self, now_s: float) -> Activity:
        """What its device does."""
        ...


Took: TypeAlias = tuple[float, float, float, bool, float, float, float]
"""`Phases` of a single visit, as numbers."""


class DirectVisit(NamedTuple):
    """A visit whose phases are known.

    Attributes:
        order: what was asked for.
        took: what it takes; where its workload does not fit, it ends after the download.
        basis: how its seconds are known.
        spoilt: whether its update arrives corrupted.
    """

    order: Order
    took: Took
    basis: str
    spoilt: bool

    @property
    def end_s(self) -> float:
        """When it ends if nothing happens."""
        down_s, compute_s, up_s, fits, _, _, _ = self.took
        return self.order.time_s + (down_s + compute_s + up_s if fits else down_s)

    def ending(self) -> Ending:
        """What it reports then."""
        order, (down_s, compute_s, up_s, fits, down_j, compute_j, up_j), basis, spoilt = self
        if not fits:
            report = VisitReport(down_s, None, None, known(down_j), basis)
            return Lost(order.dispatch, Outcome.OUT_OF_MEMORY, report)
        report = VisitReport(down_s, compute_s, up_s, known(down_j + compute_j + up_j), basis)
        if spoilt:
            return Lost(order.dispatch, Outcome.REJECTED, report)
        return Arrived(order.dispatch, report)

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
        end_s, (*seconds, fits, down_j, compute_j, up_j) = self.order.time_s, self.took
        for whole_s, whole_j in zip(seconds[: 3 if fits else 1], (down_j, compute_j, up_j), strict=False):
            begin_s, end_s = end_s, end_s + whole_s
            if end_s > now_s:
                yield now_s - begin_s, whole_j * (now_s - begin_s) / whole_s, False
                return
            yield whole_s, whole_j, True

    def activity(self, now_s: float) -> Activity:
        """What its device does."""
        down_s, compute_s, _, fits, *_ = self.took
        spent_s = now_s - self.order.time_s
        if spent_s < down_s or not fits:
            return Activity.DOWNLOADING
        return Activity.COMPUTING if spent_s < down_s + compute_s else Activity.UPLOADING

    def trained_s(self, now_s: float) -> float:
        """Seconds of training so far."""
        down_s, compute_s, _, fits, *_ = self.took
        return max(0.0, min(now_s - self.order.time_s - down_s, compute_s)) if fits else 0.0


Ending = Arrived | Lost


def known(energy_j: float) -> float | None:
    """Joules, or null where they are not known."""
    return None if math.isnan(energy_j) else energy_j
