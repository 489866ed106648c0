"""How old the merged updates were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports.figures import _curves, _lines, _paper, _runs, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult


@component
class Staleness(Figure):
    """Share of the merged updates that had missed at most so many versions of the model."""

    title: ClassVar[str] = "How old merged updates are"
    caption: ClassVar[str] = (
        "Share of the merged updates that missed at most so many versions of the model between download"
        " and merging: the further to the right a curve rises, the staler what is merged."
    )
    order: ClassVar[int] = 40

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """Columns `variant`, `staleness` (versions missed), `updates` with it, `share` with it or less.

        Null where no update ever missed a version.
        """
        frames = [_of_variant(name, group) for name, group in _runs.by_variant(runs).items()]
        frame = pd.concat(frames, ignore_index=True)
        return frame if (frame["staleness"] > 0).any() else None

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """A rising line in steps for each variant."""
        drawn = _style.figure(look, 300, legend=list(frame["variant"].unique()))
        for number, variant, rows in _lines.variants(_to_the_end(frame)):
            name = _style.escaped(variant)
            drawn.add_scatter(
                x=rows["staleness"],
                y=rows["share"],
                name=name,
                line_shape="hv",
                hovertemplate=f"%{{y:.1%}} missed at most %{{x}} versions<extra>{name}</extra>",
                **_style.line(number),
            )
        drawn.update_xaxes(title_text=_X, rangemode="tozero")
        return drawn.update_yaxes(title_text=_Y, tickformat=".0%", range=[0, 1.03])

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        sheet, axes = _paper.sheet(2.2)
        for number, name, rows in _lines.variants(_to_the_end(frame)):
            axes.step(rows["staleness"], rows["share"], where="post", label=name, **_paper.line(number))
        axes.set_xlabel(_X)
        axes.set_ylabel(_Y)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter("{x:.0%}")
        _paper.legend(sheet, axes)
        return sheet


_X, _Y = "versions missed", "share of updates"


def _of_variant(name: str, group: Sequence[RunResult]) -> pd.DataFrame:
    visits = pd.concat([run.tables["dispatches"] for run in group])
    merged = visits.loc[visits["outcome"] == "aggregated", "staleness"].astype("int64")
    updates = merged.value_counts().sort_index()
    share = updates.cumsum() / updates.sum()
    frame = pd.DataFrame(
        {
            "variant": name,
            "staleness": updates.index,
            "updates": updates.to_numpy(),
            "share": share.to_numpy(),
        }
    )
    kept = _curves.thinned(frame["staleness"].to_numpy(np.float64), frame["share"].to_numpy())
    return frame.iloc[kept]


def _to_the_end(frame: pd.DataFrame) -> pd.DataFrame:
    """With each variant's line going on at one to where the last one ends."""
    ends = frame.groupby("variant", sort=False).tail(1).assign(staleness=frame["staleness"].max())
    return pd.concat([frame, ends], ignore_index=True)
