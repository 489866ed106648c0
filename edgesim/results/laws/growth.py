"""Laws of growth."""

from __future__ import annotations

import numpy as np

from edgesim.results.laws.evidence import Evidence, Finding, column, differs, first_broken, judge, skipped
from edgesim.results.summary import GROWTHS


def capacities_never_shrink(evidence: Evidence) -> Finding:
    """Each growth raises a capacity, from where the last one left it, with the version that it names.

    One that does not fit leaves its device as it was.
    """
    if "growth" not in evidence.tables:
        return skipped("this run has no table of growth")
    table, made_s = evidence.tables["growth"], column(evidence.tables["aggregations"], "time_s")
    device, version = column(table, "device").astype(int), column(table, "version").astype(int)
    before, after = column(table, "capacity_before"), column(table, "capacity")
    outcome = table["outcome"].to_numpy(dtype=object)
    left = np.where(outcome == "grown", after, before)
    last = table.assign(left=left).groupby("device")["left"].shift().to_numpy()
    known = (version >= 1) & (version <= len(made_s))
    at_s = made_s[np.where(known, version, 1) - 1] if len(made_s) else np.zeros(len(version))

    def at(row: int) -> str:
        return f"device {device[row]} at {table['time_s'].iloc[row]:g} s"

    return first_broken(
        judge(~(after > before), lambda row: f"{at(row)}: from {before[row]:g} to {after[row]:g}", "growths"),
        judge(
            ~np.isnan(last) & (last != before),
            lambda row: f"{at(row)}: from {before[row]:g}, and it had {last[row]:g}",
            "growths",
        ),
        judge(
            ~known | differs(column(table, "time_s"), at_s),
            lambda row: f"{at(row)}: version {version[row]} was not made then",
            "growths",
        ),
        judge(~np.isin(outcome, GROWTHS), lambda row: f"{at(row)}: is {outcome[row]}", "growths"),
    )
