"""What each device did in a run: the table of devices (one row for each that was ever sent out)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgesim.results.tables import frame

_ROUNDING = 1e-9  # of the whole run: busy and present seconds are sums of many


def device_table(
    dispatches: pd.DataFrame,
    end_s: float,
    idle_w: NDArray[np.float64],
    present_s: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> pd.DataFrame:
    """The table of devices.

    Elapsed = busy + idle + absent. A visit's pauses are absence, which costs nothing. `energy_j` is
    what visits cost, `idle_j` what the device drew while it was there without work. Devices that were never
    sent out are left out: what they drew has nothing to do with the run, and there may be a million of them.

    Args:
        dispatches: of the run.
        end_s: virtual seconds of the run.
        idle_w: power of each device of the fleet, [devices]; NaN where unknown.
        present_s: of some devices, the seconds that they were there.
    """
    sums = per_device(dispatches, end_s)
    devices = sums.index.to_numpy(dtype=np.int64)
    there_s = present_s(devices)
    idle_s = _without_rounding(there_s - sums["busy_s"].to_numpy(), end_s)
    known = dispatches.drop_duplicates("device").set_index("device")["profile"]
    return frame(
        "devices",
        sums.reset_index().assign(
            profile=known.reindex(devices).to_numpy(),
            idle_s=idle_s,
            absent_s=_without_rounding(end_s - there_s, end_s),
            idle_j=idle_w[devices] * idle_s,
        ),
    )


def _without_rounding(seconds: NDArray[np.float64], end_s: float) -> NDArray[np.float64]:
    """Zero where a difference of sums is nothing but their rounding."""
    return np.where(np.abs(seconds) <= _ROUNDING * end_s, 0.0, seconds)


def per_device(dispatches: pd.DataFrame, end_s: float) -> pd.DataFrame:
    """Sums over the visits of each device, by its number; joules are unknown where those of any visit are."""
    columns = pd.DataFrame(
        {
            "device": dispatches["device"],
            "dispatches": 1,
            "aggregated": (dispatches["outcome"] == "aggregated").astype("int64"),
            "busy_s": at_work_s(dispatches, end_s),
            **{phase: dispatches[phase].fillna(0.0) for phase in ("download_s", "compute_s", "upload_s")},
            "paused_s": dispatches["paused_s"],
            "bytes_down": dispatches["bytes_down"],
            "bytes_up": dispatches["bytes_up"],
            "energy_j": dispatches["energy_j"].fillna(0.0),
            "unknown": dispatches["energy_j"].isna(),
        }
    )
    sums = columns.groupby("device").sum()
    sums["energy_j"] = sums["energy_j"].mask(sums.pop("unknown") > 0)
    return sums


def at_work_s(dispatches: pd.DataFrame, end_s: float) -> pd.Series[float]:
    """Seconds that each visit kept its device at work, pauses left out, up to the end of the run."""
    until_s = dispatches["finished_s"].fillna(end_s)
    return until_s - dispatches["dispatched_s"] - dispatches["paused_s"]
