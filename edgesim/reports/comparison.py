"""Which variant finishes the task first: a table, JSON and CSV."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich import box
from rich.console import RenderableType
from rich.table import Table

from edgesim.errors import RunFailed
from edgesim.reports import _format, _seconds
from edgesim.reports._comparison import Comparison, Variant, compare, show_seed, variant_names
from edgesim.reports._statistics import BOOTSTRAP_FROM, Spread
from edgesim.reports._text import to_text
from edgesim.results import files
from edgesim.results.run import COMPARISON

if TYPE_CHECKING:
    from edgesim.sensitivity import Sensitivity

__all__ = [
    "Comparison",
    "Variant",
    "arrivals_known",
    "columns",
    "compare",
    "interval",
    "participation_rows",
    "render",
    "sensitivity_sentence",
    "show_seed",
    "to_csv",
    "to_frame",
    "to_html",
    "to_json",
    "variant_names",
    "write",
]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON has it (design section 5), with null for what is unknown or infinite."""
    found = {
        "scenario": comparison.scenario,
        "target": None if comparison.target is None else dict(comparison.target),
        "variants": [_variant_json(variant) for variant in comparison.variants],
    }
    if comparison.sensitivity is not None:
        found["sensitivity"] = asdict(comparison.sensitivity)
    return found


def _variant_json(variant: Variant) -> dict[str, Any]:
    accuracy = _interval_json(variant.final_accuracy)
    return {
        "name": variant.name,
        "seeds": [
            timing if learning == timing else {"learning": learning, "timing": timing}
            for learning, timing in variant.seeds
        ],
        "seconds_to_target": {
            **_interval_json(variant.seconds_to_target),
            "reached": variant.reached,
            "runs": len(variant.seeds),
        },
        "speedup": variant.speedup,
        "final_accuracy": accuracy["median"],
        "final_accuracy_interval": {"low": accuracy["low"], "high": accuracy["high"]},
        "final_gap": _interval_json(variant.final_gap),
        "virtual_s": _interval_json(variant.virtual_s),
        "aggregations": variant.aggregations,
        "bytes_up": variant.bytes_up,
        "bytes_down": variant.bytes_down,
        "energy_j": variant.energy_j,
        "cost_basis": dict(variant.cost_basis),
        "participation": {profile: dict(part) for profile, part in variant.participation.items()},
        "warnings": list(variant.warnings),
    }


def _interval_json(found: Spread | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("median", "low", "high"))
    values = {"median": found.median, "low": found.low, "high": found.high}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def to_csv(comparison: Comparison) -> str:
    """One row per variant; nested keys of the JSON are joined by dots, seeds and warnings by semicolons."""
    rows = pd.json_normalize(to_json(comparison)["variants"])
    rows["seeds"] = ["; ".join(map(show_seed, variant.seeds)) for variant in comparison.variants]
    rows["warnings"] = ["; ".join(variant.warnings) for variant in comparison.variants]
    text: str = rows.to_csv(index=False, lineterminator="\n")
    return text


def to_frame(comparison: Comparison) -> pd.DataFrame:
    """One row per variant: medians over seeds, with the ends of their intervals as `_low` and `_high`.

    A time is infinite where the target was never reached; what is not known is NaN.
    """
    rows = [
        {
            "variant": variant.name,
            **_interval_columns("seconds_to_target", variant.seconds_to_target),
            "reached": variant.reached,
            "runs": len(variant.seeds),
            "speedup": variant.speedup,
            **_interval_columns("final_accuracy", variant.final_accuracy),
            **_interval_columns("final_gap", variant.final_gap),
            **_interval_columns("virtual_s", variant.virtual_s),
            "aggregations": variant.aggregations,
            "bytes_down": variant.bytes_down,
            "bytes_up": variant.bytes_up,
            "energy_j": variant.energy_j,
        }
        for variant in comparison.variants
    ]
    frame = pd.DataFrame(rows).set_index("variant")
    return frame.astype({name: float for name in frame if name != "runs"})


def _interval_columns(name: str, found: Spread | None) -> dict[str, float | None]:
    values = (None, None, None) if found is None else (found.median, found.low, found.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def to_html(comparison: Comparison) -> str:
    """The main table of `render` and the warnings as HTML."""
    shown = {
        heading: [show(variant) for variant in comparison.variants]
        for heading, show in columns(comparison).items()
    }
    table = pd.DataFrame(shown, index=[variant.name for variant in comparison.variants])
    notes = "".join(f"<p>{escape(warning)}</p>" for warning in _warnings(comparison))
    return f"<p>{escape(_title(comparison))}</p>{table.to_html(border=0)}{notes}"


def write(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.json` and `comparison.csv`, each whole or not at all.

    Raises:
        RunFailed: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / COMPARISON, files.to_json(to_json(comparison)))
        files.write_text(folder / "comparison.csv", to_csv(comparison))
    except OSError as error:
        raise RunFailed(f"{folder}: cannot be written: {error.strerror or error}") from error


def render(comparison: Comparison, width: int | None = None) -> str:
    """The comparison as plain text.

    Args:
        comparison: what to show.
        width: columns of the terminal; found out where absent.
    """
    return to_text(_parts(comparison), width)


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title(comparison)
    yield _main_table(comparison)
    if comparison.sensitivity is not None:
        yield sensitivity_sentence(comparison.sensitivity)
    yield "Updates aggregated of visits, by device class:"
    yield _participation_table(comparison)
    yield _seconds.sentence(sum((Counter(variant.cost_basis) for variant in comparison.variants), Counter()))
    yield from _warnings(comparison)


def _warnings(comparison: Comparison) -> Iterator[str]:
    for variant in comparison.variants:
        for warning in variant.warnings:
            yield f"{variant.name}, {warning}"


def _title(comparison: Comparison) -> str:
    target = ", ".join(f"{metric} {value:g}" for metric, value in (comparison.target or {}).items())
    what = f"time to {target}" if arrivals_known(comparison) else "whole runs"
    runs = max(len(variant.seeds) for variant in comparison.variants)
    interval = "their range" if runs < BOOTSTRAP_FROM else "the 95 % interval"
    over = f"; medians over seeds, in brackets {interval}" if runs > 1 else ""
    return f"{comparison.scenario}: {what}{over}"


def arrivals_known(comparison: Comparison) -> bool:
    """Whether seconds to a target are known, of runs that arrived or of runs that did not."""
    return any(variant.seconds_to_target is not None for variant in comparison.variants)


def _main_table(comparison: Comparison) -> Table:
    shown = columns(comparison)
    table = Table(box=box.MARKDOWN)
    table.add_column("variant")
    for heading in shown:
        table.add_column(heading, justify="right")
    for variant in comparison.variants:
        table.add_row(variant.name, *(show(variant) for show in shown.values()))
    return table


def columns(comparison: Comparison) -> dict[str, Callable[[Variant], str]]:
    """What is shown of each variant, by heading; the times are to the target where known, else whole runs."""
    times = _TO_TARGET if arrivals_known(comparison) else _WHOLE_RUN
    return times | _reached(comparison) | _SPENT


def _reached(comparison: Comparison) -> dict[str, Callable[[Variant], str]]:
    """How good the models are in the end."""
    return _GAP if any(variant.final_gap is not None for variant in comparison.variants) else _ACCURACY


def _arrival(variant: Variant) -> str:
    found, runs = variant.seconds_to_target, len(variant.seeds)
    if found is None or variant.reached is None:
        return _format.UNKNOWN
    missed = f"not reached {runs - variant.reached}/{runs}" if variant.reached < runs else ""
    shown = interval(found, _format.seconds) if math.isfinite(found.low) else ""
    return ", ".join(part for part in (shown, missed) if part)


def interval(found: Spread | None, show: Callable[[float], str]) -> str:
    """A median with its interval in brackets, where it has one."""
    if found is None:
        return _format.UNKNOWN
    median, low, high = show(found.median), show(found.low), show(found.high)
    return median if low == high else f"{median} ({low} to {high})"


_TO_TARGET: dict[str, Callable[[Variant], str]] = {
    "time to target": _arrival,
    "speed-up": lambda variant: _format.factor(variant.speedup),
}
_WHOLE_RUN: dict[str, Callable[[Variant], str]] = {
    "time of the run": lambda variant: interval(variant.virtual_s, _format.seconds),
    "aggregations": lambda variant: _format.count(variant.aggregations),
}
_ACCURACY: dict[str, Callable[[Variant], str]] = {
    "final accuracy": lambda variant: interval(variant.final_accuracy, _format.fraction),
}
_GAP: dict[str, Callable[[Variant], str]] = {
    "final gap": lambda variant: interval(variant.final_gap, _format.number),
}
_SPENT: dict[str, Callable[[Variant], str]] = {
    "bytes up": lambda variant: _format.size(variant.bytes_up),
    "energy": lambda variant: _format.energy(variant.energy_j),
}


def sensitivity_sentence(found: Sensitivity) -> str:
    """How often the ranking stays where device figures are drawn, and what was not drawn."""
    drawn = f"Rates, overheads and links drawn {found.draws} times within their ranges"
    never = f"; never there: {', '.join(found.unranked)}" if found.unranked else ""
    fixed = f"; without a range and fixed: {', '.join(found.fixed)}" if found.fixed else ""
    if found.stays is None:
        return f"{drawn}: no ranking, as no variant arrives in its median run{fixed}"
    between = f"{_format.fraction(found.low)} to {_format.fraction(found.high)}"
    first = ", ".join(f"{name} {_format.fraction(share)}" for name, share in found.first.items())
    return (
        f"{drawn}: the ranking {' < '.join(found.ranking)} stays in {_format.fraction(found.stays)} "
        f"({between}); first is {first}{never}{fixed}"
    )


def _participation_table(comparison: Comparison) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("device class")
    for variant in comparison.variants:
        table.add_column(variant.name, justify="right")
    for profile, cells in participation_rows(comparison).items():
        table.add_row(profile, *cells)
    return table


def participation_rows(comparison: Comparison) -> dict[str, list[str]]:
    """Of each device class, the updates aggregated of visits, variant by variant."""
    profiles = dict.fromkeys(profile for variant in comparison.variants for profile in variant.participation)
    return {
        profile: [_participation(variant, profile) for variant in comparison.variants] for profile in profiles
    }


def _participation(variant: Variant, profile: str) -> str:
    part = variant.participation.get(profile)
    if part is None:
        return _format.UNKNOWN
    lost = [f"{part[key]} {key.replace('_', ' ')}" for key in ("late", "out_of_memory") if part[key]]
    shown = f"{part['aggregated']}/{part['dispatched']}"
    return f"{shown} ({', '.join(lost)})" if lost else shown
