"""How well the model did, and when: accuracy over virtual time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports import _format
from edgesim.reports._comparison import compare
from edgesim.reports.figures import _curves, _lines, _paper, _runs, _scale, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult


@component
class LearningCurve(Figure):
    """Accuracy over virtual time, the median over seeds with its interval; the loss where there is none."""

    title: ClassVar[str] = "Learning curve"
    caption: ClassVar[str] = (
        "Whose curve meets the target line first finishes the task first; marks on it are median times to"
        " target. Lines are medians over seeds and bands their range (from 6 seeds on the 95 % interval of"
        " the median); a model keeps its value until the next evaluation, and a run that has ended its"
        " last one."
    )
    order: ClassVar[int] = 10

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """Columns `variant`, `metric`, `time_s`, `value`, `low`, `high`, `target` and `arrival_s`."""
        comparison = compare(runs)
        target = comparison.target or {}
        metric = _metric(runs, target)
        if metric is None:
            return None
        arrivals = {each.name: each.seconds_to_target for each in comparison.variants}
        frames = []
        for name, group in _runs.by_variant(runs).items():
            arrival = arrivals[name] if metric in target else None
            curve = _curves.over_seeds([_curves.of_run(run, "time_s", metric) for run in group])
            frames.append(
                curve.rename(columns={"at": "time_s"}).assign(
                    variant=name, metric=metric, arrival_s=_finite(arrival.median) if arrival else math.nan
                )
            )
        frame = pd.concat(frames, ignore_index=True).assign(target=target.get(metric, math.nan))
        return frame[["variant", "metric", "time_s", "value", "low", "high", "target", "arrival_s"]]

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """Steps and bands, the target as a dotted line, a mark where the median run arrives."""
        metric, target = frame["metric"].iloc[0], frame["target"].iloc[0]
        scale = _scale.of_seconds(frame["time_s"].max())
        drawn = _style.figure(look, 360, legend=list(frame["variant"].unique()))
        shown = ".1%" if _is_share(metric) else ".4g"
        hover = f"%{{y:{shown}}} (%{{customdata[0]:{shown}}} to %{{customdata[1]:{shown}}})"
        _lines.add_bands(
            drawn, frame, frame["time_s"] / scale.base, hover + f" after %{{x:.4g}} {scale.unit}"
        )
        if not math.isnan(target):
            _style.add_level(drawn, target, f"target {_shown(metric, target)}")
            _add_arrivals(drawn, frame, scale)
        drawn.update_xaxes(title_text=f"virtual time, {scale.unit}", rangemode="tozero")
        drawn.update_yaxes(title_text=_label(metric), tickformat=".0%" if _is_share(metric) else None)
        return drawn

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        metric, target = frame["metric"].iloc[0], frame["target"].iloc[0]
        scale = _scale.of_seconds(frame["time_s"].max())
        sheet, axes = _paper.sheet(2.6)
        _lines.paint_bands(axes, frame, frame["time_s"] / scale.base)
        if not math.isnan(target):
            axes.axhline(target, color="black", linestyle=":", linewidth=0.8)
            for number, _, rows in _lines.variants(frame):
                x, style = rows["arrival_s"].iloc[0] / scale.base, _paper.mark(number)
                axes.plot([x], [target], style, color=_paper.colour(number), markersize=4)
        axes.set_xlabel(f"virtual time, {scale.unit}")
        axes.set_ylabel(_label(metric))
        axes.set_xlim(left=0)
        if _is_share(metric):
            axes.yaxis.set_major_formatter("{x:.0%}")
        _paper.legend(sheet, axes)
        return sheet


def _metric(runs: Sequence[RunResult], target: Mapping[str, float]) -> str | None:
    """What the curve is of: the target's metric, else accuracy, else loss; whichever all runs know."""
    if _curves.all_know(runs, "gap"):
        return None  # that is a figure of its own
    return next((metric for metric in (*target, "accuracy", "loss") if _curves.all_know(runs, metric)), None)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _is_share(metric: str) -> bool:
    return metric.endswith("accuracy")


def _label(metric: str) -> str:
    return metric.replace("_", " ")


def _shown(metric: str, value: float) -> str:
    return _format.fraction(value) if _is_share(metric) else f"{value:g}"


def _add_arrivals(drawn: go.Figure, frame: pd.DataFrame, scale: _scale.Scale) -> None:
    """A mark on the target line for each variant that arrived."""
    for number, variant, rows in _lines.variants(frame):
        name = _style.escaped(variant)
        arrival_s, target = rows["arrival_s"].iloc[0], rows["target"].iloc[0]
        if math.isnan(arrival_s):
            continue
        drawn.add_scatter(
            x=[arrival_s / scale.base],
            y=[target],
            mode="markers",
            marker={"color": _style.colour(number), "symbol": _style.symbol(number), "size": 13},
            legendgroup=name,
            showlegend=False,
            hovertemplate=f"arrived after {_format.seconds(arrival_s)}<extra>{name}</extra>",
        )
