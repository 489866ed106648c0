"""What the devices of a run did: the parts of every visit, and the wait for the others that follows it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from edgesim.results import timeline
from edgesim.results.run import RunResult

PHASES = timeline.PHASES
PARTS = (*PHASES, "waiting")
"""What a device goes through in a visit; it waits until its update is merged or it is sent out again."""


def visits(run: RunResult) -> pd.DataFrame:
    """The table of dispatches, in its order, with what is derived from it.

    Returns:
        The columns of the table, and
        `ended_s`: when the device was done, or the run if that was sooner;
        `cut_off`: the phase in which it ended, the empty text where it went through all;
        `cut_off_s`: how long that had lasted, 0 where none was cut off;
        `waiting_s`: from the end of the visit until its update was merged or the device sent out again; 0
        where it was never merged.
    """
    found = run.tables["dispatches"].copy()
    end_s = float(run.tables["evaluations"]["time_s"].max())
    phases = found[[f"{phase}_s" for phase in PHASES]].to_numpy(np.float64)
    whole = ~np.isnan(phases).any(axis=1)
    found["ended_s"] = found["finished_s"].fillna(end_s)
    took_s = found["ended_s"] - found["dispatched_s"] - found["paused_s"]
    left_s = (took_s - np.nansum(phases, axis=1)).clip(lower=0.0)
    found["cut_off_s"] = left_s.mask(whole, 0.0)
    found["cut_off"] = np.where(whole, "", np.array([*PHASES, ""])[(~np.isnan(phases)).sum(axis=1)])
    found["waiting_s"] = _waiting_s(found, run.tables["aggregations"])
    return found


def _waiting_s(visits: pd.DataFrame, aggregations: pd.DataFrame) -> pd.Series[float]:
    merged_into = visits["base_version"] + visits["staleness"].astype("float64") + 1
    merged_s = merged_into.map(aggregations.set_index("version")["time_s"])
    merged_s = merged_s.where(visits["outcome"] == "aggregated")
    again_s = visits.groupby("device")["dispatched_s"].shift(-1)
    until_s = merged_s.where(~(again_s < merged_s), again_s)
    return (until_s - visits["ended_s"]).clip(lower=0.0).fillna(0.0)


def bars(visits: pd.DataFrame) -> pd.DataFrame:
    """The parts of visits one after another, a row for each that took time.

    Phases follow each other at once, as no table says when a visit paused: what it paused lies at its end.

    Returns:
        Columns `dispatch`, `part` (of `PARTS`), `begin_s`, `duration_s` and `cut_off`, whether the part was
        broken off.
    """
    begin_s = visits["dispatched_s"].copy()
    made = []
    for part in PARTS:
        broken = visits["cut_off"] == part
        duration_s = visits[f"{part}_s"].fillna(0.0) + visits["cut_off_s"].where(broken, 0.0)
        if part == "waiting":
            begin_s = visits["ended_s"]
        made.append(
            pd.DataFrame(
                {
                    "dispatch": visits["dispatch"],
                    "part": part,
                    "begin_s": begin_s,
                    "duration_s": duration_s,
                    "cut_off": broken,
                }
            )
        )
        begin_s = begin_s + duration_s
    found = pd.concat(made, ignore_index=True)
    return found[found["duration_s"] > 0].reset_index(drop=True)
