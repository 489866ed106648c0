"""One run in a few lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgesim.reports import _format, _seconds
from edgesim.results.run import RunResult
from edgesim.results.summary import cost_bases

REASONS = {
    "rounds": "all rounds done",
    "time": "time limit",
    "dispatches": "all dispatches done",
    "target": "target reached",
    "drained": "nothing left to wait for",
    "credits": "no tier has rounds left",
    "growth": "grown to the end, and at a plateau",
}


def render(result: RunResult, path: Path) -> str:
    """How the run ended, what it cost, what looks wrong, and where it lies."""
    return "".join(f"{line}\n" for line in _lines(result, path))


def _lines(result: RunResult, path: Path) -> Iterator[str]:
    summary = result.summary
    final = summary["final"]
    name = f"{result.manifest['scenario']}, {result.manifest['variant']}"
    ended = REASONS.get(summary["reason"], summary["reason"])
    yield f"{name}: {_format.seconds(summary['virtual_s'])} of virtual time, {ended}"
    if final["accuracy"] is not None:
        loss = "not finite" if final["loss"] is None else f"{final['loss']:.4g}"
        yield f"accuracy {_format.fraction(final['accuracy'])}, loss {loss} at the end"
    if final.get("gap") is not None:
        yield f"{_format.number(final['gap'])} above the least loss at the end"
    if summary["target_reached"]:
        target = ", ".join(f"{metric} {value:g}" for metric, value in summary["target"].items())
        yield f"{target} reached after {_format.seconds(summary['seconds_to_target'])}"
    yield f"{summary['aggregations']} aggregations of {summary['dispatched']} visits{_outcomes(summary)}"
    down, up = _format.size(summary["bytes_down"]), _format.size(summary["bytes_up"])
    energy = _format.energy(summary["energy_j"]) if summary["energy_j"] is not None else "unknown"
    yield f"{down} down, {up} up, energy {energy}"
    yield _seconds.sentence(cost_bases(result.tables["dispatches"]))
    yield from (f"warning: {warning}" for warning in summary["warnings"])
    yield f"written to {path}"


def _outcomes(summary: dict[str, Any] | Any) -> str:
    """What became of the visits, in brackets; nothing where there were none."""
    counted = [
        f"{count} {outcome.replace('_', ' ')}" for outcome, count in summary["outcomes"].items() if count
    ]
    return f" ({', '.join(counted)})" if counted else ""
