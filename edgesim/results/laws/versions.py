"""Laws of versions: when they are made, of what, and how old the updates may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgesim.results.laws.evidence import (
    Evidence,
    Finding,
    Floats,
    broken,
    column,
    differs,
    exceeds,
    first_broken,
    judge,
    kept,
    skipped,
)


def the_clock_is_monotone(evidence: Evidence) -> Finding:
    """Aggregations and evaluations follow one another; nothing is before 0 or after the end of the run."""
    end_s, tables = evidence.end_s, evidence.tables

    def within(name: str, key: str) -> Finding:
        times_s = column(tables[name], key)
        return judge(
            (times_s < 0) | exceeds(times_s, end_s),
            lambda row: f"{name}.{key} of row {row} is {times_s[row]:g} s in a run of {end_s:g} s",
            name,
        )

    def in_order(name: str) -> Finding:
        times_s = column(tables[name], "time_s")
        return judge(
            np.diff(times_s, prepend=0.0) < 0,
            lambda row: f"{name}.time_s goes back to {times_s[row]:g} s in row {row}",
            name,
        )

    return first_broken(
        within("dispatches", "dispatched_s"),
        within("dispatches", "finished_s"),
        within("evaluations", "time_s"),
        within("aggregations", "time_s"),
        in_order("evaluations"),
        in_order("aggregations"),
    )


def versions_are_made_one_by_one(evidence: Evidence) -> Finding:
    """Aggregation number n makes version n, the initial model being version 0."""
    versions = column(evidence.tables["aggregations"], "version")
    wanted = np.arange(1, len(versions) + 1)
    return judge(
        versions != wanted,
        lambda row: f"aggregation {row} made version {versions[row]:g}, not {wanted[row]}",
        "aggregations",
    )


def visits_take_out_the_present_version(evidence: Evidence) -> Finding:
    """A visit starts from the version that there was when it was sent out."""
    visits = evidence.visits
    base, sent_s = column(visits, "base_version"), column(visits, "dispatched_s")
    low, high = _versions_at(sent_s, evidence)

    def say(row: int) -> str:
        there = f"where version {high[row]} was there"
        return f"dispatch {row} took out version {base[row]:g} at {sent_s[row]:g} s, {there}"

    return judge(~((low <= base) & (base <= high)), say, "visits")


def evaluations_are_of_the_present_version(evidence: Evidence) -> Finding:
    """An evaluation is of the version that there was; the first one is of version 0, the last of the last."""
    evaluations = evidence.tables["evaluations"]
    version, time_s = column(evaluations, "version"), column(evaluations, "time_s")
    low, high = _versions_at(time_s, evidence)
    low[-1:] = high[-1:]
    high[:1] = 0

    def say(row: int) -> str:
        return f"the evaluation at {time_s[row]:g} s is of version {version[row]:g}, not {high[row]}"

    return judge(~((low <= version) & (version <= high)), say, "evaluations")


def staleness_is_versions_missed(evidence: Evidence) -> Finding:
    """Aggregated visits alone have one: version at aggregation - base version. They ended before that."""
    visits = evidence.visits
    merged = (visits["outcome"] == "aggregated").to_numpy(dtype=bool)
    staleness, made = column(visits, "staleness"), _made(visits)
    made_s = column(evidence.tables["aggregations"], "time_s")
    known = merged & (made >= 1) & (made <= len(made_s))
    at_s = np.full(len(visits), np.nan)
    at_s[known] = made_s[made[known].astype(int) - 1]
    return first_broken(
        judge(
            merged == np.isnan(staleness),
            lambda row: f"dispatch {row} is {visits['outcome'].iloc[row]} with staleness {staleness[row]:g}",
            "visits",
        ),
        judge(
            merged & ~(staleness >= 0),
            lambda row: f"dispatch {row} has staleness {staleness[row]:g}",
            "visits",
        ),
        judge(
            merged & ~known,
            lambda row: f"dispatch {row} went into version {made[row]:g}, which was never made",
            "visits",
        ),
        judge(
            exceeds(column(visits, "finished_s"), np.where(merged, at_s, np.inf)),
            lambda row: f"dispatch {row} went into version {made[row]:g}, made before it ended",
            "visits",
        ),
    )


def aggregations_are_of_their_visits(evidence: Evidence) -> Finding:
    """Updates, mean staleness and mean density of an aggregation are those of the visits that it merged."""
    aggregations, visits = evidence.tables["aggregations"], evidence.visits
    merged = visits[visits["outcome"] == "aggregated"]
    groups = merged.groupby(_made(merged))
    versions = aggregations["version"]
    expected = {
        "updates": groups.size().reindex(versions, fill_value=0),
        "mean_staleness": groups["staleness"].mean().reindex(versions),
        "mean_density": groups["density"].mean().reindex(versions),
        "mean_kept": groups["kept"].mean().reindex(versions),
    }

    def of(name: str, wanted: Floats) -> Finding:
        found = column(aggregations, name)
        return judge(
            differs(found, wanted),
            lambda row: (
                f"version {versions.iloc[row]} says {name} {found[row]:g}, its visits {wanted[row]:g}"
            ),
            "aggregations",
        )

    return first_broken(
        *(of(name, wanted.to_numpy(np.float64, na_value=np.nan)) for name, wanted in expected.items())
    )


def the_policy_keeps_its_bounds(evidence: Evidence) -> Finding:
    """Devices at work, updates per version and staleness stay within what the coordination sets."""
    policy = evidence.policy
    if policy.get("name") not in _BOUNDS:
        return skipped(f"{policy.get('name', 'no policy')} sets no bound that the tables could show")
    at_work, updates, staleness = _BOUNDS[policy["name"]](policy)
    visits = evidence.visits
    bounds = {
        "devices at work": (most_at_work(visits, evidence.end_s), at_work),
        "updates in a version": (_largest(evidence.tables["aggregations"], "updates"), updates),
        "the largest staleness": (_largest(visits, "staleness"), staleness),
    }
    for what, (found, limit) in bounds.items():
        if limit is not None and found > limit:
            return broken(f"{what}: {found:g}, and {policy['name']} allows {limit}")
    return kept(
        ", ".join(f"{what} {found:g}" for what, (found, limit) in bounds.items() if limit is not None)
    )


def the_stop_rule_is_kept(evidence: Evidence) -> Finding:
    """No more dispatches and versions than the scenario allows."""
    stop = evidence.scenario.get("stop", {})
    found = {"dispatches": len(evidence.visits), "rounds": len(evidence.tables["aggregations"])}
    limits = {what: stop[what] for what in found if what in stop}
    for what, limit in limits.items():
        if found[what] > limit:
            return broken(f"{found[what]} {what}, and stop.{what} is {limit}")
    if not limits:
        return skipped("the scenario limits neither dispatches nor rounds")
    return kept(", ".join(f"{found[what]} of {limit} {what}" for what, limit in limits.items()))


def most_at_work(visits: pd.DataFrame, end_s: float) -> int:
    """How many visits are in flight at most; one that ends when another begins is no longer."""
    finished_s = column(visits, "finished_s")
    ends_s = np.where(np.isnan(finished_s), end_s, finished_s)
    times_s = np.concatenate([ends_s, column(visits, "dispatched_s")])
    steps = np.repeat([-1, 1], len(visits))
    order = np.lexsort((steps, times_s))
    return int(np.cumsum(steps[order]).max(initial=0))


def _bounds_of_rounds(policy: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    return policy["clients_per_round"], policy["clients_per_round"], 0


def _bounds_of_asynchronous(policy: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    return policy["concurrency"], 1, policy.get("maximum_staleness")


def _bounds_of_buffered(policy: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    return policy["concurrency"], policy["buffer"], None


def _bounds_of_deadlines(policy: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    return None, policy["clients_per_round"], 0


_BOUNDS = {
    "synchronous": _bounds_of_rounds,
    "deadline": _bounds_of_deadlines,
    "asynchronous": _bounds_of_asynchronous,
    "buffered": _bounds_of_buffered,
}
"""Per policy: how many at work, updates per version and how stale at most; null where there is no bound."""


def _made(visits: pd.DataFrame) -> Floats:
    """The version that each aggregated visit went into; NaN for the others."""
    return column(visits, "base_version") + column(visits, "staleness") + 1


def _versions_at(time_s: Floats, evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The versions before and after what was aggregated at these very times."""
    made_s = column(evidence.tables["aggregations"], "time_s")
    return np.searchsorted(made_s, time_s, "left"), np.searchsorted(made_s, time_s, "right")


def _largest(table: pd.DataFrame, name: str) -> float:
    values = column(table, name)
    return float(np.nanmax(values)) if (~np.isnan(values)).any() else 0.0
