"""How far to trust the numbers: what the seconds and the joules of each device class rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from edgesim.reports import _format, _seconds
from edgesim.reports._page.tables import PageTable, as_csv
from edgesim.results.run import RunResult

BASES = {
    "timed": "timed on such a device",
    "fitted": "a fit to what was timed on such a device",
    "measured": "measured",
    "datasheet": "datasheet",
    "emulated": "timed on another machine made as small",
    "estimated": "estimated",
    "override": "given by the scenario",
    "unknown": "unknown",
}
"""What a basis means, from strong to weak."""

_SHOW: Mapping[str, Callable[[float | None], str]] = {
    "_flops": _format.rate,
    "_bps": _format.link_rate,
    "_bytes": _format.size,
    "_s": _format.seconds,
    "_w": _format.power,
}
_GROUPS = {
    "computing": ("timed_steps", "rate_flops", "step_overhead_s"),
    "links": ("downlink_bps", "uplink_bps", "latency_s"),
    "power": ("idle_w", "active_w", "radio_down_w", "radio_up_w"),
}


def sentences(runs: Sequence[RunResult]) -> list[str]:
    """What the tables below mean."""
    basis = pd.concat([run.tables["dispatches"]["cost_basis"] for run in runs])
    real = "Accuracy comes from real training; seconds and joules are computed from figures of the devices."
    found = [real, _seconds.sentence(basis.value_counts().to_dict())]
    if _origins(runs) is None:
        found.append("These runs do not hold where the figures of their devices come from; newer ones do.")
    return found


def visits(runs: Sequence[RunResult]) -> PageTable:
    """How the seconds of computing of the visits are known, by device class."""
    rows = pd.concat([run.tables["dispatches"][["profile", "cost_basis"]] for run in runs])
    counts = rows.value_counts(["profile", "cost_basis"]).unstack(fill_value=0)
    bases = [basis for basis in BASES if basis in counts]
    counts = counts.reindex([profile for profile in _profiles(runs) if profile in counts.index])
    return PageTable(
        name="cost_basis",
        caption="Visits of all runs, by what their seconds of computing rest on.",
        headings=("device class", *(BASES[basis] for basis in bases)),
        rows=tuple(
            (str(profile), *(str(counts.at[profile, basis]) for basis in bases)) for profile in counts.index
        ),
        csv=as_csv(counts[bases].reset_index()),
    )


def _profiles(runs: Sequence[RunResult]) -> list[str]:
    """Device classes in the order of the fleets."""
    return list(dict.fromkeys(profile for run in runs for profile in run.summary["participation"]))


def classes(runs: Sequence[RunResult]) -> PageTable | None:
    """The weakest basis of each kind of figure, by device class; null where the runs do not say it."""
    known = _origins(runs)
    if known is None:
        return None
    rows = [
        (str(profile), *(_weakest(part, names) for names in _GROUPS.values()))
        for profile, part in known.groupby("profile", sort=False)
    ]
    headings = ("device class", *_GROUPS)
    return PageTable(
        name="trust",
        caption="The weakest basis among the figures of each device class.",
        headings=headings,
        rows=tuple(rows),
        csv=as_csv(pd.DataFrame(rows, columns=list(headings))),
        numeric=False,
    )


def figures(runs: Sequence[RunResult]) -> PageTable | None:
    """Every figure with its range, basis and source; null where the runs do not say it."""
    known = _origins(runs)
    if known is None:
        return None
    return PageTable(
        name="origins",
        caption="Every figure with its range and where it comes from.",
        headings=("device class", "figure", "value", "range", "basis", "source"),
        rows=tuple(_row(row) for row in known.to_dict("records")),
        csv=as_csv(known),
        numeric=False,
    )


def _row(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    figure = str(row["figure"])
    unit = next((unit for unit in _SHOW if figure.endswith(unit)), "")
    show = _SHOW.get(unit, _format.count)
    value, low, high = (None if math.isnan(row[key]) else row[key] for key in ("value", "low", "high"))
    between = _format.UNKNOWN if low is None else f"{show(low)} to {show(high)}"
    source = row["source"] if isinstance(row["source"], str) else ""
    name = figure.removesuffix(unit).replace("_", " ")
    return str(row["profile"]), name, show(value), between, BASES[str(row["basis"])], source


def _origins(runs: Sequence[RunResult]) -> pd.DataFrame | None:
    """The figures of all runs, each once."""
    found = [run.tables["origins"] for run in runs if "origins" in run.tables]
    if not found:
        return None
    return pd.concat(found).drop(columns=["entry", "devices"]).drop_duplicates(ignore_index=True)


def _weakest(part: pd.DataFrame, names: Sequence[str]) -> str:
    found = set(part.loc[part["figure"].isin(names), "basis"])
    return next((shown for basis, shown in reversed(BASES.items()) if basis in found), _format.UNKNOWN)
