"""A small run whose every number one can check by hand.

Four devices: 0 and 1 are fast, 2 is slow, 3 is tiny. The deadline is 5 s, the target an accuracy of 0.8. Idle
devices draw 2 W. Models go out at 1.6 kbit/s in all, and devices 0 and 1 share a cell of 1 kbit/s back.

    device 0  |-- aggregated 0..4 --|  |- dropped 5..7.5 -| |- 8.. still computing at the end, 10 -
    device 1                           |-- aggregated 5..9.5 --|
    device 2  |--------- late 0..8 ---------|
    device 3  |- out of memory 0..3 -|                                                away 6..10
    server                             v1 at 5                  v2 at 10
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from edgesim.results import tables
from edgesim.results.run import RunResult, manifest
from edgesim.results.summary import Context, summarise

COLUMNS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "evaluations": {
        "time_s": [0.0, 5.0, 10.0],
        "version": [0, 1, 2],
        "loss": [2.3, 1.0, 0.5],
        "accuracy": [0.1, 0.6, 0.85],
    },
    "dispatches": {
        "dispatch": [0, 1, 2, 3, 4, 5],
        "device": [0, 2, 3, 1, 0, 0],
        "visit": [0, 0, 0, 0, 1, 2],
        "profile": ["fast", "slow", "tiny", "fast", "fast", "fast"],
        "submodel": ["full", "half", "half", "full", "full", "full"],
        "density": [1.0, 0.5, 0.5, 1.0, 1.0, 1.0],
        "kept": [1.0, 0.5, 0.5, 1.0, 1.0, 1.0],
        "base_version": [0, 0, 0, 1, 1, 1],
        "staleness": [0, None, None, 0, None, None],
        "dispatched_s": [0.0, 0.0, 0.0, 5.0, 5.0, 8.0],
        "download_s": [1.0, 2.0, 3.0, 1.0, 1.0, 1.0],
        "compute_s": [2.0, 4.0, None, 2.5, None, None],
        "upload_s": [1.0, 2.0, None, 1.0, None, None],
        "paused_s": [0.0] * 6,
        "finished_s": [4.0, 8.0, 3.0, 9.5, 7.5, None],
        "outcome": ["aggregated", "late", "out_of_memory", "aggregated", "dropped", "unfinished"],
        "bytes_down": [100, 100, 100, 100, 100, 100],
        "bytes_up": [100, 50, 0, 100, 0, 0],
        "train_flops": [1000, 500, 0, 1000, 0, 0],
        "energy_j": [10.0, 30.0, 2.0, 11.0, 4.0, 3.0],
        "train_loss": [1.9, None, None, 0.9, None, None],
        "cost_basis": ["measured", "estimated", "estimated", "measured", "measured", None],
    },
    "aggregations": {
        "time_s": [5.0, 10.0],
        "version": [1, 2],
        "updates": [1, 1],
        "mean_staleness": [0.0, 0.0],
        "mean_density": [1.0, 1.0],
        "mean_kept": [1.0, 1.0],
        "covered_fraction": [1.0, 1.0],
    },
    "coverage": {
        "tensor": ["output.weight", "output.bias"],
        "layer": ["output", "output"],
        "times_trained": [2, 2],
        "devices": [2, 2],
        "elements": [6, 2],
        "covered_fraction": [1.0, 1.0],
        "mean_times": [2.0, 2.0],
        "least_times": [2, 2],
        "most_times": [2, 2],
    },
    "participation": {
        "profile": ["fast", "slow", "tiny"],
        "devices": [2, 1, 1],
        "dispatches": [4, 1, 1],
        "aggregated": [2, 0, 0],
        "devices_aggregated": [2, 0, 0],
        "share": [1.0, 0.0, 0.0],
        "mean_density": [1.0, None, None],
        "mean_kept": [1.0, None, None],
        "mean_staleness": [0.0, None, None],
    },
    "divergence": {"version": [1, 2], "layer": ["output", "output"], "divergence": [0.5, None]},
    "devices": {
        "device": [0, 1, 2, 3],
        "profile": ["fast", "fast", "slow", "tiny"],
        "dispatches": [3, 1, 1, 1],
        "aggregated": [1, 1, 0, 0],
        "busy_s": [8.5, 4.5, 8.0, 3.0],
        "download_s": [3.0, 1.0, 2.0, 3.0],
        "compute_s": [2.0, 2.5, 4.0, 0.0],
        "upload_s": [1.0, 1.0, 2.0, 0.0],
        "paused_s": [0.0] * 4,
        "idle_s": [1.5, 5.5, 2.0, 3.0],
        "absent_s": [0.0, 0.0, 0.0, 4.0],
        "bytes_down": [300, 100, 100, 100],
        "bytes_up": [100, 100, 50, 0],
        "energy_j": [17.0, 11.0, 30.0, 2.0],
        "idle_j": [3.0, 11.0, 4.0, 6.0],
    },
    "data_split": {
        "device": [0, 0, 1, 2, 3],
        "profile": ["fast", "fast", "fast", "slow", "tiny"],
        "label": [0, 1, 1, 0, 2],
        "samples": [3, 1, 4, 2, 1],
    },
    "closed_form": {"version": [0, 1, 2], "gap": [0.5, 0.1, 0.02], "distance": [1.0, 0.4, 0.2]},
    "links": {
        "link": ["server uplink", "cell 0 uplink"],
        "capacity_bps": [1600.0, 1000.0],
        "bits": [4800.0, 1600.0],
        "busy_s": [5.0, 2.0],
        "peak_bps": [1600.0, 800.0],
    },
    "origins": {
        "entry": [0, 1, 2],
        "profile": ["fast", "slow", "tiny"],
        "devices": [2, 1, 1],
        "figure": ["rate_flops", "rate_flops", "idle_w"],
        "value": [1e9, 1e8, None],
        "low": [5e8, 5e7, None],
        "high": [2e9, 2e8, None],
        "basis": ["measured", "estimated", "unknown"],
        "source": ["timed by us", "a tenth of fast", None],
    },
    "growth": {
        "time_s": [5.0, 5.0, 10.0],
        "version": [1, 1, 2],
        "device": [2, 3, 2],
        "capacity_before": [0.5, 0.5, 0.75],
        "capacity": [0.75, 0.75, 1.0],
        "cause": ["client", "floor", "schedule"],
        "outcome": ["grown", "too_large", "grown"],
    },
}

SCENARIO = """\
name: golden
fleet:
  - {profile: fast, count: 2, cell: {devices: 2, uplink: 1 kbit/s}}
  - {profile: slow, count: 1}
  - {profile: tiny, count: 1}
server: {uplink: 1.6 kbit/s}
coordination: {name: deadline, clients_per_round: 1, over_selection: 3, deadline: 5 s, minimum_fraction: 1.0}
stop: {rounds: 2}
"""

CONTEXT = Context(
    reason="target",
    target={"accuracy": 0.8},
    devices={"fast": 2, "slow": 1, "tiny": 1},
    notes=(),
    wall_s={"total": 1.5},
)

HEADER = manifest(
    scenario="golden", variant="main", seed={"learning": 1, "timing": 1}, device="cpu", timing_only=False
)


def table(name: str, **changes: Sequence[Any]) -> pd.DataFrame:
    """One of the tables, with some columns replaced or added."""
    return tables.frame(name, {**COLUMNS[name], **changes})


def all_tables() -> dict[str, pd.DataFrame]:
    """Every table of the run."""
    return {name: table(name) for name in COLUMNS}


def result() -> RunResult:
    """The run as it is read back from its directory."""
    return RunResult(
        scenario_yaml=SCENARIO,
        manifest={**HEADER, "status": "finished"},
        summary=summarise(all_tables(), CONTEXT),
        tables=all_tables(),
        weights={
            "output.bias": np.array([0.5, -0.5], dtype=np.float32),
            "output.weight": np.arange(6, dtype=np.float32).reshape(3, 2).T,
            "steps": np.array(7),
        },
    )


def timing_only() -> RunResult:
    """The same timeline, of a run that trained nothing."""
    nothing = [None] * 3
    tables_ = {**all_tables(), "evaluations": table("evaluations", loss=nothing, accuracy=nothing)}
    return replace(
        result(),
        manifest={**HEADER, "timing_only": True, "status": "finished"},
        summary=summarise(tables_, CONTEXT),
        tables=tables_,
        weights=None,
    )
