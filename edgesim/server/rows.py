"""The tables of a run, column by column."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgesim.errors import RunFailed
from edgesim.learner import Aggregation, Order, Workload
from edgesim.server.events import Outcome, VisitReport

Table: TypeAlias = dict[str, list[Any]]
"""Columns by name, all of one length; null is None."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What one run leaves behind, in the columns that design section 5 lists."""

    dispatches: Table
    aggregations: Table
    evaluations: Table


class DispatchRows:
    """One row per visit. Numbers lie in typed arrays; NaN, or -1 for a staleness, stands for null.

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
        return len(self.device)

    def send(self, orders: Sequence[Order], workloads: Sequence[Workload]) -> None:
        """Append the rows of one batch of dispatches."""
        count = len(orders)
        self.device.extend([order.device for order in orders])
        self.visit.extend([order.visit for order in orders])
        self.base_version.extend([order.version for order in orders])
        self.dispatched_s.extend([order.time_s for order in orders])
        self.staleness.extend([-1] * count)
        unknown = [math.nan] * count
        for column in (self.download_s, self.compute_s, self.upload_s, self.finished_s, self.energy_j):
            column.extend(unknown)
        self.workloads.extend(workloads)
        self.paused_s.extend([0.0] * count)
        self.outcome.extend([None] * count)
        self.cost_basis.extend([None] * count)

    def end(self, dispatch: int, report: VisitReport, finished_s: float) -> None:
        """Write what a visit took and when it ended (NaN: it did not)."""
        # A null is left as it was when the row was appended.
        if report.download_s is not None:
            self.download_s[dispatch] = report.download_s
        if report.compute_s is not None:
            self.compute_s[dispatch] = report.compute_s
        if report.upload_s is not None:
            self.upload_s[dispatch] = report.upload_s
        if report.energy_j is not None:
            self.energy_j[dispatch] = report.energy_j
        self.paused_s[dispatch] = report.paused_s
        self.cost_basis[dispatch] = report.cost_basis
        self.finished_s[dispatch] = finished_s

    def decide(self, dispatch: int, outcome: Outcome) -> None:
        """Write what became of a visit.

        Raises:
            RunFailed: that was written before.
        """
        if self.outcome[dispatch] is not None:
            raise RunFailed(f"dispatch {dispatch} ended as {self.outcome[dispatch]} and again as {outcome}")
        self.outcome[dispatch] = outcome
        self.counts[outcome] += 1

    def check(self) -> None:
        """Hold the rows against the law that dispatched is the sum of all outcomes.

        Raises:
            RunFailed: it is not.
        """
        undecided = [dispatch for dispatch, outcome in enumerate(self.outcome) if outcome is None]
        if undecided:
            raise RunFailed(
                f"{len(undecided)} of {len(self)} dispatches have no outcome, first {undecided[0]}"
            )

    def table(self, profile_of: Callable[[int], str], losses: Mapping[int, float | None]) -> Table:
        """The table. Bytes and FLOPs are counted for the phases that were completed."""
        rows = range(len(self))
        works = self.workloads
        done = {name: [not math.isnan(value) for value in getattr(self, name)] for name in _PHASES}
        return {
            "dispatch": list(rows),
            "device": self.device.tolist(),
            "visit": self.visit.tolist(),
            "profile": [profile_of(device) for device in self.device],
            "submodel": [work.submodel for work in works],
            "density": [work.density for work in works],
            "kept": [work.kept for work in works],
            "base_version": self.base_version.tolist(),
            "staleness": [None if value < 0 else value for value in self.staleness],
            "dispatched_s": self.dispatched_s.tolist(),
            "download_s": _nullable(self.download_s),
            "compute_s": _nullable(self.compute_s),
            "upload_s": _nullable(self.upload_s),
            "paused_s": self.paused_s.tolist(),
            "finished_s": _nullable(self.finished_s),
            "outcome": [str(outcome) for outcome in self.outcome],
            "bytes_down": [w.bytes_down if d else 0 for w, d in zip(works, done["download_s"], strict=True)],
            "bytes_up": [w.bytes_up if d else 0 for w, d in zip(works, done["upload_s"], strict=True)],
            "train_flops": [w.train_flops if d else 0 for w, d in zip(works, done["compute_s"], strict=True)],
            "energy_j": _nullable(self.energy_j),
            "train_loss": [losses.get(row) for row in rows],
            "cost_basis": list(self.cost_basis),
        }


_PHASES = ("download_s", "compute_s", "upload_s")


class AggregationRows:
    """One row per aggregation."""

    def __init__(self) -> None:
        self.table: Table = {
            "time_s": [],
            "version": [],
            "updates": [],
            "mean_staleness": [],
            "mean_density": [],
            "mean_kept": [],
            "covered_fraction": [],
        }

    def append(self, time_s: float, version: int, staleness: Sequence[int], made: Aggregation) -> None:
        """Append one row."""
        row = (
            time_s,
            version,
            made.updates,
            sum(staleness) / len(staleness),
            made.mean_density,
            made.mean_kept,
            made.covered_fraction,
        )
        for column, value in zip(self.table.values(), row, strict=True):
            column.append(value)


def _nullable(column: array[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in column]
