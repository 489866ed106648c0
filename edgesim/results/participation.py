"""Who took part: the table of participation, a row for each kind of device."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from edgesim.results.tables import frame


def participation_table(dispatches: pd.DataFrame, devices: Mapping[str, int]) -> pd.DataFrame:
    """The table of participation.

    `share` is that of all aggregated updates; a kind of device that is slow or away counts for less in the
    model than in the fleet. Means are over the aggregated visits, unknown where there are none.

    Args:
        dispatches: of the run.
        devices: devices of the fleet by profile.
    """
    merged = dispatches[dispatches["outcome"] == "aggregated"]
    groups, visits = merged.groupby("profile"), dispatches.groupby("profile")
    profiles = list(devices)

    def counted(sizes: pd.Series[int]) -> pd.Series[int]:
        return sizes.reindex(profiles, fill_value=0)

    updates = counted(groups.size())
    columns = {
        "profile": profiles,
        "devices": [devices[profile] for profile in profiles],
        "dispatches": counted(visits.size()),
        "aggregated": updates,
        "devices_aggregated": counted(groups["device"].nunique()),
        "share": updates / max(1, len(merged)),
        "mean_density": groups["density"].mean().reindex(profiles),
        "mean_kept": groups["kept"].mean().reindex(profiles),
        "mean_staleness": groups["staleness"].mean().reindex(profiles).astype("float64"),
    }
    return frame("participation", pd.DataFrame(columns).reset_index(drop=True))
