"""A run in brief: how it ended, when it reached its target, what it cost, who took part, what looks wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from edgesim.learner import falls, is_coordinate, is_loss
from edgesim.results.learning import loss_trend
from edgesim.results.thinness import thin_layers

OUTCOMES = (
    "aggregated",
    "late",
    "discarded",
    "dropped",
    "out_of_memory",
    "cancelled",
    "rejected",
    "unfinished",
)
"""What can become of a dispatch."""

GROWTHS = ("grown", "too_large")
"""What can become of a capacity that is to grow."""

_PHASES = ["download_s", "compute_s", "upload_s"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a summary needs and no table holds.

    Attributes:
        reason: why the run ended.
        target: metric and value that the run was to reach, at most one.
        devices: devices of the fleet by profile, those that were never asked included.
        notes: what building the run had to say; they come first among the warnings.
        wall_s: host seconds by what they were spent on: all that differs between equal runs.
    """

    reason: str
    target: Mapping[str, float] | None
    devices: Mapping[str, int]
    notes: Sequence[str]
    wall_s: Mapping[str, float]


def summarise(tables: Mapping[str, pd.DataFrame], context: Context) -> dict[str, Any]:
    """What `summary.json` says about a run; a number that is not known is null.

    Seconds of computing are those of completed phases; they are wasted where the update was not aggregated.
    `energy_j` is what visits cost; `idle_j` is what the devices that took part drew between them.
    """
    evaluations, dispatches = tables["evaluations"], tables["dispatches"]
    participation = {
        profile: _participation(dispatches[dispatches["profile"] == profile], count)
        for profile, count in context.devices.items()
    }
    wasted = dispatches.loc[dispatches["outcome"] != "aggregated", "compute_s"]
    return {
        "reason": context.reason,
        "virtual_s": float(evaluations["time_s"].max()),
        "aggregations": len(tables["aggregations"]),
        "target": None if context.target is None else dict(context.target),
        **_arrival(evaluations, context.target),
        "final": _final(evaluations),
        "best": _best(evaluations),
        "bytes_down": int(dispatches["bytes_down"].sum()),
        "bytes_up": int(dispatches["bytes_up"].sum()),
        "energy_j": _total(dispatches["energy_j"]),
        "idle_j": _total(tables["devices"]["idle_j"]) if "devices" in tables else None,
        "visits_of_known_energy": int(dispatches["energy_j"].notna().sum()),
        "compute_s": float(dispatches["compute_s"].sum()),
        "wasted_compute_s": float(wasted.sum()),
        "dispatched": len(dispatches),
        "outcomes": _outcomes(dispatches),
        "cost_basis": cost_bases(dispatches),
        "participation": participation,
        **_growth(tables),
        "warnings": [*context.notes, *_warnings(tables, context, participation)],
        "wall_s": dict(context.wall_s),
    }


def cost_bases(dispatches: pd.DataFrame) -> dict[str, int]:
    """Of how many visits the seconds of computing are known in which way, by `cost_basis`."""
    counted = dispatches["cost_basis"].value_counts()
    return {str(basis): int(count) for basis, count in counted.items()}


def seconds_to_target(evaluations: pd.DataFrame, metric: str, value: float) -> float | None:
    """Virtual time of the first evaluation at or beyond the target (design section 5); null if none is."""
    measured = evaluations[metric]
    reached = measured <= value if falls(metric) else measured >= value
    return float(evaluations.loc[reached, "time_s"].iloc[0]) if reached.any() else None


def _arrival(evaluations: pd.DataFrame, target: Mapping[str, float] | None) -> dict[str, Any]:
    """Whether and when the target was reached. Unknown, not missed, where the metric was never measured."""
    for metric, value in (target or {}).items():
        if metric in evaluations and evaluations[metric].notna().any():
            seconds = seconds_to_target(evaluations, metric, value)
            return {"target_reached": seconds is not None, "seconds_to_target": seconds}
    return {"target_reached": None, "seconds_to_target": None}


def _metrics(evaluations: pd.DataFrame) -> list[str]:
    return [str(name) for name in evaluations if name not in ("time_s", "version")]


def _final(evaluations: pd.DataFrame) -> dict[str, Any]:
    """The last evaluation."""
    last = evaluations.iloc[-1]
    return {
        "time_s": float(last["time_s"]),
        "version": int(last["version"]),
        **{name: _finite(last[name]) for name in _metrics(evaluations)},
    }


def _best(evaluations: pd.DataFrame) -> dict[str, float | None]:
    """The best value of each metric, whenever it was."""
    names = [name for name in _metrics(evaluations) if not is_coordinate(name)]
    return {name: _finite(_extreme(evaluations, name)) for name in names}


def _extreme(evaluations: pd.DataFrame, metric: str) -> float:
    values = evaluations[metric]
    return float(values.min() if falls(metric) else values.max())


def _total(values: pd.Series[float]) -> float | None:
    """The sum; null where any part of it is unknown."""
    return None if values.isna().any() else float(values.sum())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _outcomes(dispatches: pd.DataFrame) -> dict[str, int]:
    counted = dispatches["outcome"].value_counts()
    return {outcome: int(counted.get(outcome, 0)) for outcome in OUTCOMES}


def _growth(tables: Mapping[str, pd.DataFrame]) -> dict[str, int | None]:
    """How many capacities grew, and how many could not as the device has too little memory."""
    counted = tables["growth"]["outcome"].value_counts() if "growth" in tables else None
    return {name: None if counted is None else int(counted.get(name, 0)) for name in GROWTHS}


def _participation(visits: pd.DataFrame, devices: int) -> dict[str, Any]:
    """What the devices of one profile did. `visit_s` is the mean over visits that went through all phases."""
    counted = _outcomes(visits)
    visit_s = visits[_PHASES].sum(axis=1, skipna=False).mean()
    return {
        "devices": devices,
        "dispatched": len(visits),
        **{outcome: counted[outcome] for outcome in ("aggregated", "late", "out_of_memory")},
        "visit_s": _finite(visit_s),
    }


def _warnings(
    tables: Mapping[str, pd.DataFrame], context: Context, participation: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    evaluations = tables["evaluations"]
    if len(tables["aggregations"]):
        yield from _did_not_learn(tables)
        yield from thin_layers(tables["coverage"])
        for profile, part in participation.items():
            yield from _absent(profile, part)
        yield from _refused(tables)
    else:
        yield "nothing was aggregated: the model is as it was at the beginning"
    if _arrival(evaluations, context.target)["target_reached"] is False:
        for metric, value in (context.target or {}).items():
            best = _extreme(evaluations, metric)
            yield f"the target, {metric} {value:g}, was not reached; the best was {best:.4g}"


def _did_not_learn(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    evaluations = tables["evaluations"]
    for name in _metrics(evaluations):
        first, last = evaluations[name].iloc[0], evaluations[name].iloc[-1]
        if is_loss(name) and not math.isnan(first) and not last < first:
            yield f"the model did not learn: {name} was {first:.4g} at first and is {last:.4g} at the end"
    trend = loss_trend(tables["dispatches"])
    if trend is not None and not trend.falls:
        yield f"the model did not learn: the training loss was {trend}"


def _refused(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    refused = _growth(tables)["too_large"]
    if refused:
        yield f"growth: {refused} larger sub-models did not fit in memory; their devices stayed as they were"


def _absent(profile: str, part: Mapping[str, Any]) -> Iterator[str]:
    dispatched = part["dispatched"]
    if dispatched and part["out_of_memory"] == dispatched:
        yield f"{profile}: every visit ({dispatched}) ran out of memory; give it a smaller sub-model"
    elif dispatched and not part["aggregated"]:
        yield f"{profile}: no update of its visits ({dispatched}) was aggregated"
    elif not dispatched:
        yield f"{profile}: none of its devices ({part['devices']}) was ever asked"
