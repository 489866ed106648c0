"""Laws of conservation: what the summary and the table of devices say is the sum of the dispatches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgesim.results.devices import at_work_s, per_device
from edgesim.results.laws.evidence import (
    TOLERANCE,
    Evidence,
    Finding,
    broken,
    column,
    differs,
    exceeds,
    first_broken,
    judge,
    kept,
    skipped,
)
from edgesim.results.summary import Context, summarise

_NOT_DERIVED = ("wall_s", "warnings")


def the_summary_is_of_the_tables(evidence: Evidence) -> Finding:
    """Every number of summary.json follows from the tables: outcomes, bytes, joules, seconds, metrics."""
    summary = evidence.summary
    context = Context(
        reason=summary["reason"],
        target=summary["target"],
        devices={profile: part["devices"] for profile, part in summary["participation"].items()},
        notes=(),
        wall_s={},
    )
    expected = summarise(evidence.tables, context)
    keys = [key for key in expected if key in summary and key not in _NOT_DERIVED]
    for key in keys:
        wrong = _difference(key, summary[key], expected[key])
        if wrong is not None:
            return broken(wrong)
    return kept(f"{len(keys)} entries")


def every_dispatch_has_one_outcome(evidence: Evidence) -> Finding:
    """What was dispatched is the sum of all outcomes: nothing is lost silently."""
    outcomes, dispatched = evidence.summary["outcomes"], len(evidence.visits)
    if sum(outcomes.values()) != dispatched:
        return broken(f"{dispatched} dispatches and {sum(outcomes.values())} outcomes")
    return kept(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count))


def joules_are_spent_and_not_gained(evidence: Evidence) -> Finding:
    """No visit gives energy back, and none costs any without taking time."""
    visits = evidence.visits
    energy_j, busy_s = column(visits, "energy_j"), at_work_s(visits, evidence.end_s).to_numpy()
    known = int((~np.isnan(energy_j)).sum())
    if not known and len(visits):
        return skipped("the joules of no visit are known")
    return judge(
        (energy_j < 0) | ((energy_j > 0) & (busy_s <= 0)),
        lambda row: f"dispatch {row} cost {energy_j[row]:g} J in {busy_s[row]:g} s",
        "visits",
    )


def devices_did_their_visits(evidence: Evidence) -> Finding:
    """Per device: dispatches, phases, bytes and joules are those of its visits."""
    if "devices" not in evidence.tables:
        return skipped("this run has no table of devices")
    table, visits = evidence.tables["devices"], evidence.visits
    expected = per_device(visits, evidence.end_s).reindex(table["device"])
    strangers = set(visits["device"]) ^ set(table["device"])
    if strangers:
        return broken(f"device {min(strangers)} is in one table and not in the other")

    def of(name: str) -> Finding:
        wanted = expected[name].to_numpy()
        scale = evidence.end_s if name.endswith("_s") else 0.0

        def say(row: int) -> str:
            found = f"{name} is {table[name].iloc[row]}, its visits give {wanted[row]:g}"
            return f"device {table['device'].iloc[row]}: {found}"

        return judge(differs(column(table, name), wanted, scale), say, "devices")

    return first_broken(*(of(str(name)) for name in expected))


def busy_idle_and_absent_are_all_time(evidence: Evidence) -> Finding:
    """Per device: busy + idle + absent = elapsed, none of them negative; pauses are part of absence."""
    if "devices" not in evidence.tables:
        return skipped("this run has no table of devices")
    table = evidence.tables["devices"]
    parts = np.array([column(table, name) for name in ("busy_s", "idle_s", "absent_s")])

    def say(row: int) -> str:
        shown = " + ".join(f"{seconds:.9g}" for seconds in parts[:, row])
        return f"device {table['device'].iloc[row]}: {shown} s of {evidence.end_s:.9g} s"

    return first_broken(
        judge(differs(parts.sum(axis=0), evidence.end_s), say, "devices"),
        judge(parts.min(axis=0) < -TOLERANCE * evidence.end_s, say, "devices"),
        judge(exceeds(column(table, "paused_s"), parts[2]), say, "devices"),
    )


def _difference(key: str, found: Any, expected: Any) -> str | None:
    """Where a value of the summary is not what the tables give, or null."""
    if isinstance(expected, dict) and isinstance(found, dict):
        inner = (
            _difference(f"{key}.{name}", found[name], expected[name]) for name in expected if name in found
        )
        return next((wrong for wrong in inner if wrong is not None), None)
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        same = math.isclose(found, expected, rel_tol=1e-9)
    else:
        same = found == expected
    return None if same else f"{key} is {found}, and the tables give {expected}"
