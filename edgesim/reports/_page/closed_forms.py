"""How far runs of theory end from what their closed forms say."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from edgesim.reports import _format
from edgesim.reports._page.phrases import listed
from edgesim.reports.comparison import Comparison, variant_names
from edgesim.reports.figures.gap import ARRIVED
from edgesim.results.run import RunResult


def distances(comparison: Comparison) -> Iterator[str]:
    """The last gap of each variant over that of its closed form, where that does not go to 0."""
    found: dict[str, list[float]] = {}
    for name, run in zip(variant_names(comparison.runs), comparison.runs, strict=True):
        found.setdefault(name, []).extend(_ratio(run))
    ratios = [
        f"{_format.count(_rounded(statistics.median(ratios)))} for {name}"
        for name, ratios in found.items()
        if ratios
    ]
    if ratios:
        yield f"The last gap over that of the closed form, which leaves chance out: {listed(ratios)}."


def _rounded(ratio: float) -> float:
    """To three digits."""
    return float(f"{ratio:.3g}")


def _ratio(run: RunResult) -> Iterator[float]:
    evaluations, known = run.tables["evaluations"], run.tables.get("closed_form")
    if known is None or "gap" not in evaluations:
        return
    last = float(known["gap"].iloc[-1])
    if last > ARRIVED * known["gap"].max():
        yield float(evaluations["gap"].iloc[-1]) / last
