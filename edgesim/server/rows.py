"""The tables of a run, column by column."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from edgesim.errors import RunFailed
from edgesim.learner import Aggregation, Order, Workload
from edgesim.server.events import Outcome, VisitReport
from edgesim.server.roster import Roster

Table: TypeAlias = dict[str, list[Any]]
"""Columns by name, all of one length; null is None."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What one run leaves behind, in the columns that design section 5 lists."""

    dispatches: Table
    aggregations: Table
    evaluations: Table


_ROOM = 1024  # rows


class DispatchRows:
    """One row per visit. Numbers lie in typed arrays; NaN, or -1 for a staleness, stands for null.

    What is not known before a visit ends is null from the begin, in columns that grow ahead of the visits by
    blocks: one visit after the other is as cheap as many at once.

    Attributes:
        counts: how many visits came to which outcome so far.
    """

    def __init__(self) -> None:
        self.device = array("q")
        self.visit = array("q")
        self.base_version = array("q")
        self.staleness = array("q")
        self.dispatched_s = array("d")
        self.download_s = array("d")
        self.compute_s = array("d")
        self.upload_s = array("d")
        self.paused_s = array("d")
        self.finished_s = array("d")
        self.energy_j = array("d")
        self.workloads: list[Workload] = []
        self.outcome: list[Outcome | None] = []
        self.cost_basis: list[str | None] = []
        self.counts: Counter[Outcome] = Counter()

    def __len__(self) -> int:
        return len(self.workloads)

    def send(self, orders: Sequence[Order], workloads: Sequence[Workload]) -> None:
        """Append the rows of one batch of dispatches."""
        self.workloads.extend(workloads)
        for _, device, visit, version, time_s in orders:
            self.device.append(device)
            self.visit.append(visit)
            self.base_version.append(version)
            self.dispatched_s.append(time_s)
        missing = len(self.workloads) - len(self.outcome)
        if missing > 0:
            self._grow(missing + _ROOM)

    def _grow(self, count: int) -> None:
        self.staleness.extend(array("q", [-1]) * count)
        unknown = array("d", [math.nan]) * count
        for column in (self.download_s, self.compute_s, self.upload_s, self.finished_s, self.energy_j):
            column.extend(unknown)
        self.paused_s.extend(array("d", [0.0]) * count)
        self.outcome.extend([None] * count)
        self.cost_basis.extend([None] * count)

    def end(self, dispatch: int, report: VisitReport, finished_s: float) -> None:
        """Write what a visit took and when it ended (NaN: it did not)."""
        download_s, compute_s, upload_s, energy_j, cost_basis, paused_s = report
        # A null is left as it was when the row was appended.
        if download_s is not None:
            self.download_s[dispatch] = download_s
        if compute_s is not None:
            self.compute_s[dispatch] = compute_s
        if upload_s is not None:
            self.upload_s[dispatch] = upload_s
        if energy_j is not None:
            self.energy_j[dispatch] = energy_j
        self.paused_s[dispatch] = paused_s
        self.cost_basis[dispatch] = cost_basis
        self.finished_s[dispatch] = finished_s

    def decide(self, dispatches: Sequence[int], outcome: Outcome) -> None:
        """Write what became of visits.

        Raises:
            RunFailed: that was written before.
        """
        outcomes = self.outcome
        for dispatch in dispatches:
            if outcomes[dispatch] is not None:
                raise RunFailed(f"dispatch {dispatch} ended as {outcomes[dispatch]} and again as {outcome}")
            outcomes[dispatch] = outcome
        self.counts[outcome] += len(dispatches)

    def check(self) -> None:
        """Hold the rows against the law that dispatched is the sum of all outcomes.

        Raises:
            RunFailed: it is not.
        """
        undecided = [dispatch for dispatch in range(len(self)) if self.outcome[dispatch] is None]
        if undecided:
            raise RunFailed(
                f"{len(undecided)} of {len(self)} dispatches have no outcome, first {undecided[0]}"
            )

    def table(self, roster: Roster, losses: Mapping[int, float | None]) -> Table:
        """The table. Bytes and FLOPs are counted for the phases that were completed."""
        works, rows = self.workloads, slice(len(self))
        down_s, compute_s, up_s = (
            _nullable(column[rows]) for column in (self.download_s, self.compute_s, self.upload_s)
        )
        return {
            "dispatch": list(range(len(self))),
            "device": self.device.tolist(),
            "visit": self.visit.tolist(),
            "profile": roster.profiles_of(self.device),
            "submodel": [work.submodel for work in works],
            "density": [work.density for work in works],
            "kept": [work.kept for work in works],
            "base_version": self.base_version.tolist(),
            "staleness": [None if value < 0 else value for value in self.staleness[rows]],
            "dispatched_s": self.dispatched_s.tolist(),
            "download_s": down_s,
            "compute_s": compute_s,
            "upload_s": up_s,
            "paused_s": self.paused_s[rows].tolist(),
            "finished_s": _nullable(self.finished_s[rows]),
            "outcome": [str(outcome) for outcome in self.outcome[rows]],
            "bytes_down": [0 if s is None else w.bytes_down for w, s in zip(works, down_s, strict=True)],
            "bytes_up": [0 if s is None else w.bytes_up for w, s in zip(works, up_s, strict=True)],
            "train_flops": [0 if s is None else w.train_flops for w, s in zip(works, compute_s, strict=True)],
            "energy_j": _nullable(self.energy_j[rows]),
            "train_loss": [losses.get(dispatch) for dispatch in range(len(self))],
            "cost_basis": self.cost_basis[rows],
        }


class AggregationRows:
    """One row per aggregation."""

    def __init__(self) -> None:
        self.time_s = array("d")
        self.version = array("q")
        self.updates = array("q")
        self.mean_staleness = array("d")
        self.mean_density = array("d")
        self.mean_kept = array("d")
        self.covered_fraction = array("d")

    def __len__(self) -> int:
        return len(self.version)

    def append(self, time_s: float, version: int, staleness: Sequence[int], made: Aggregation) -> None:
        """Append one row."""
        updates, mean_density, mean_kept, covered_fraction = made
        self.time_s.append(time_s)
        self.version.append(version)
        self.updates.append(updates)
        self.mean_staleness.append(sum(staleness) / len(staleness))
        self.mean_density.append(mean_density)
        self.mean_kept.append(mean_kept)
        self.covered_fraction.append(covered_fraction)

    def table(self) -> Table:
        """The table."""
        return {name: column.tolist() for name, column in vars(self).items()}


def _nullable(column: array[float]) -> list[float | None]:
    values: list[float | None] = list(column)
    for place in np.flatnonzero(np.isnan(column)).tolist():
        values[place] = None
    return values
