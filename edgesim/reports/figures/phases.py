"""Where the time of the devices went, by class and variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports import _format
from edgesim.reports.figures import _paper, _rows, _runs, _scale, _style, _visits
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

PARTS = (*_visits.PHASES, "cut_off", "waiting", "idle", "absent")

_REST = ("idle", "absent")  # of which there is so much in a large fleet that one would see nothing else


@component
class Phases(Figure):
    """Mean seconds from one visit of a device to its next, and what they were spent on."""

    title: ClassVar[str] = "Where the time went"
    caption: ClassVar[str] = (
        "Mean seconds per visit for each class of devices: look for the longest phase of the slowest"
        " class, and for how long the others wait until their updates are merged. At the right: seconds at"
        " work in a visit, and how often a device is visited."
    )
    order: ClassVar[int] = 30

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """A row for each profile and variant.

        Columns `profile`, `variant`, `visits`, the seconds per visit in each of `PARTS` (`download_s`, ...),
        `work_s`, the sum of the phases, and `total_s`, the sum of all. Idle and absent seconds are those of
        devices that were ever sent out; they and the sum of all are NaN where runs do not know them.
        """
        frames = [_of_variant(name, group) for name, group in _runs.by_variant(runs).items()]
        frame = pd.concat(frames, ignore_index=True)
        if frame.empty:
            return None
        slowest = frame.groupby("profile")["work_s"].max().sort_values(ascending=False)
        frame["profile"] = pd.Categorical(frame["profile"], list(slowest.index))
        frame = frame.sort_values("profile", kind="stable", ignore_index=True)
        return frame.astype({"profile": "str"})

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """Stacked bars, a row for each variant under its profile; the time between visits by legend."""
        rows, scale = _laid_out(frame), _scale.of_seconds(_shown_s(frame).max())
        parts = _present(frame)
        totals = _totals(frame)
        letters = frame["variant"].str.len().max() + max(map(len, totals))
        drawn = _style.figure(
            look, 40 + _rows.ROW_PX * rows.length, [_name(part) for part in parts], beside_px=40 + 6 * letters
        )
        for part in parts:
            drawn.add_bar(
                orientation="h",
                x=frame[f"{part}_s"] / scale.base,
                y=list(rows.place.values()),
                name=_name(part),
                legendgroup=part,
                visible="legendonly" if part in _REST else True,
                marker={"color": _style.PHASES[_name(part)], "line_width": 0},
                customdata=frame[f"{part}_s"].map(_format.seconds, na_action="ignore"),
                hovertemplate=f"{_name(part)}: %{{customdata}} a visit<extra></extra>",
            )
        _rows.add_rows(drawn, rows)
        _rows.add_right(drawn, rows, totals)
        drawn.update_xaxes(title_text=f"mean per visit, {scale.unit}")
        return drawn.update_layout(barmode="stack", bargap=0.15, legend_traceorder="grouped")

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        rows, scale = _laid_out(frame), _scale.of_seconds(_shown_s(frame).max())
        sheet, axes = _paper.sheet(0.9 + _rows.ROW_IN * rows.length)
        begin_s = 0.0 * frame["total_s"]
        places = list(rows.place.values())
        for part in [part for part in _present(frame) if part not in _REST]:
            lasting_s = frame[f"{part}_s"].fillna(0.0)
            axes.barh(
                places,
                lasting_s / scale.base,
                left=begin_s / scale.base,
                height=0.8,
                color=_paper.phase(_name(part)),
                label=_name(part),
                linewidth=0,
            )
            begin_s = begin_s + lasting_s
        _rows.paint_rows(axes, rows)
        _rows.paint_right(axes, rows, _totals(frame))
        axes.set_xlim(left=0)
        axes.set_xlabel(f"mean per visit, {scale.unit}")
        _paper.legend(sheet, axes)
        return sheet


def _of_variant(name: str, group: Sequence[RunResult]) -> pd.DataFrame:
    """One variant's rows: sums over its runs, over its visits."""
    seconds = [f"{part}_s" for part in (*_visits.PARTS, "cut_off")]
    found = pd.concat([_visits.visits(run) for run in group])
    sums = found.groupby("profile")[seconds].sum()
    visits = found.groupby("profile").size()
    there = [run.tables.get("devices") for run in group]
    known = [table for table in there if table is not None]
    if len(known) == len(group):
        rest = pd.concat(known).groupby("profile")[["idle_s", "absent_s"]].sum()
        sums = sums.join(rest)
        sums["idle_s"] = (sums["idle_s"] - sums["waiting_s"]).clip(lower=0.0)  # the wait is idle time, too
    frame = sums.div(visits, axis=0).reindex(columns=[f"{part}_s" for part in PARTS])
    work = [f"{part}_s" for part in (*_visits.PHASES, "cut_off")]
    return (
        frame.assign(
            variant=name,
            visits=visits,
            work_s=frame[work].sum(axis=1),
            total_s=frame.sum(axis=1, skipna=False),
        )
        .reset_index()
        .reindex(columns=["profile", "variant", "visits", *frame, "work_s", "total_s"])
    )


def _laid_out(frame: pd.DataFrame) -> _rows.Rows:
    return _rows.laid_out(frame.assign(label=frame["variant"]), ["profile", "variant"], "label")


def _present(frame: pd.DataFrame) -> list[str]:
    """The parts that took any time at all."""
    return [part for part in PARTS if (frame[f"{part}_s"] > 0).any()]


def _shown_s(frame: pd.DataFrame) -> pd.Series[float]:
    """Seconds per visit without those between visits, [rows]."""
    return frame[[f"{part}_s" for part in PARTS if part not in _REST]].sum(axis=1)


def _name(part: str) -> str:
    return part.replace("_", " ")


def _totals(frame: pd.DataFrame) -> list[str]:
    return [
        _format.seconds(work_s) + ("" if math.isnan(total_s) else f", every {_format.seconds(total_s)}")
        for work_s, total_s in zip(frame["work_s"], frame["total_s"], strict=True)
    ]
