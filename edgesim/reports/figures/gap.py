"""How far a theory's run is from the optimum, round by round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports._comparison import compare
from edgesim.reports.figures import _curves, _lines, _paper, _runs, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

ROUNDING = 1e-16
"""Of the greatest gap: what is smaller is drawn there, as it is but rounding, and may be 0 or below."""

ARRIVED = 1e-10
"""Of the greatest gap: who ends below has arrived, and who ends above has settled."""


@component
class Gap(Figure):
    """The loss above its least value, over the versions of the model, on a logarithmic axis."""

    title: ClassVar[str] = "Gap to the optimum"
    caption: ClassVar[str] = (
        "How far the loss is above its least value: a straight line falls geometrically, a level one has"
        " settled, one that leaves at the bottom arrives (double-click for all of it). Lines are medians"
        " over seeds and bands their range (from 6 seeds on the 95 % interval of the median). A dashed line"
        " is the closed form, where it is known: the gap of the mean model, which the mean gap is not below."
    )
    order: ClassVar[int] = 10

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """Columns `variant`, `version`, `value`, `low`, `high`, `closed_form` (gaps) and `target`.

        The closed form is the median over the seeds, whose starts differ; NaN where one does not know it.
        Null where a run does not know its optimum.
        """
        if not _curves.all_know(runs, "gap"):
            return None
        frames = [_of_variant(group).assign(variant=name) for name, group in _runs.by_variant(runs).items()]
        target = (compare(runs).target or {}).get("gap", math.nan)
        frame = pd.concat(frames, ignore_index=True).assign(target=target)
        return frame[["variant", "version", "value", "low", "high", "closed_form", "target"]]

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """A line and a band for each variant, the target as a dotted line."""
        frame = _above_rounding(frame)
        known = [_CLOSED_FORM] if frame["closed_form"].notna().any() else []
        drawn = _style.figure(look, 360, legend=[*frame["variant"].unique(), *known])
        if known:
            _add_closed_forms(drawn, frame)
        hover = "%{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g}) after %{x} aggregations"
        _lines.add_bands(drawn, frame, frame["version"], hover, "linear")
        target = frame["target"].iloc[0]
        if target > 0:
            _style.add_level(drawn, target, f"target {target:g}", logarithmic=True)
        drawn.update_xaxes(title_text=_X, rangemode="tozero")
        least, greatest = map(math.log10, _window(frame))
        decades = greatest - least
        return drawn.update_yaxes(
            title_text=_Y,
            type="log",
            range=[least, greatest],
            exponentformat="power",
            dtick=max(1, round(decades / 8)) if decades > 2 else None,
        )

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        frame = _above_rounding(frame)
        sheet, axes = _paper.sheet(2.6)
        for number, _, rows in _lines.variants(frame):
            axes.plot(rows["version"], rows["closed_form"], color=_paper.colour(number), **_DASHED)
        _lines.paint_bands(axes, frame, frame["version"], steps=False)
        if frame["closed_form"].notna().any():
            axes.plot([], [], color=_style.GREY, label=_CLOSED_FORM, **_DASHED)
        target = frame["target"].iloc[0]
        if target > 0:
            axes.axhline(target, color="black", linestyle=":", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_ylim(_window(frame))
        axes.set_xlabel(_X)
        axes.set_ylabel(_Y)
        axes.set_xlim(left=0)
        _paper.legend(sheet, axes)
        return sheet


_X, _Y = "aggregations", "gap"
_CLOSED_FORM = "closed form"
_VALUES = ["value", "low", "high"]
_DASHED: dict[str, Any] = {"linestyle": "--", "linewidth": 0.8}


def _of_variant(runs: Sequence[RunResult]) -> pd.DataFrame:
    """The curve over the seeds, and where it is known the closed form's at the same versions."""
    curve = _curves.over_seeds([_curves.of_run(run, "version", "gap") for run in runs])
    curve = curve.rename(columns={"at": "version"})
    if not all("closed_form" in run.tables for run in runs):
        return curve.assign(closed_form=math.nan)
    forms = [_curves.of_run(run, "version", "gap", table="closed_form") for run in runs]
    median = np.median([form.read(curve["version"].to_numpy(np.float64)) for form in forms], axis=0)
    return curve.assign(closed_form=np.where(np.isfinite(median), median, math.nan))


def _add_closed_forms(drawn: go.Figure, frame: pd.DataFrame) -> None:
    """Thin dashed lines in the colours of the variants, all under one entry of the legend."""
    line: dict[str, Any] = {"mode": "lines", "legendgroup": _CLOSED_FORM}
    for number, variant, rows in _lines.variants(frame):
        drawn.add_scatter(
            x=rows["version"],
            y=rows["closed_form"],
            showlegend=False,
            line=_dashed(_style.colour(number)),
            hovertemplate=f"%{{y:.4g}} by the closed form<extra>{_style.escaped(variant)}</extra>",
            **line,
        )
    line |= {"name": _CLOSED_FORM, "legendrank": 2000}  # behind the variants
    drawn.add_scatter(x=[None], y=[None], line=_dashed(_style.GREY), **line)


def _dashed(colour: str) -> dict[str, Any]:
    return {"color": colour, "width": 1.2, "dash": "dash"}


def _above_rounding(frame: pd.DataFrame) -> pd.DataFrame:
    """What a logarithmic axis can show."""
    greatest = float(np.nanmax(frame[_VALUES].to_numpy(np.float64)))
    least = ROUNDING * greatest if greatest > 0 else ROUNDING
    return frame.assign(**{name: frame[name].clip(lower=least) for name in (*_VALUES, "closed_form")})


def _window(frame: pd.DataFrame) -> tuple[float, float]:
    """The part of the axis where variants settle; those that arrive fall out of it at the bottom."""
    values = frame[_VALUES].to_numpy(np.float64)
    greatest = float(np.nanmax(values))
    last = frame.groupby("variant").tail(1)["value"]
    settled = last[last > ARRIVED * greatest]
    least = float(settled.min()) if len(settled) else float(np.nanmin(values))
    return 0.3 * least, 2 * greatest
