"""How much of the model the merged updates had trained, over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports.figures import _lines, _paper, _runs, _scale, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

WINDOWS = 40
"""Into so many the longest run is cut."""

_LABEL = "trained share of the model"


@component
class Density(Figure):
    """Share of the model's parameters that an update trained: means over windows of virtual time."""

    title: ClassVar[str] = "How much of the model updates train"
    caption: ClassVar[str] = (
        "Trained share of the parameters, mean over the updates merged in each fortieth of the time, with"
        " the range over single aggregations as a band: it rises where sub-models grow, and scatters where"
        " devices of different capacity take turns."
    )
    order: ClassVar[int] = 50

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """A row for each window of each variant in which updates were merged.

        Columns `variant`, `time_s` (its middle), `updates`, and their density: `value`, `low` and `high`.
        Null where every update trained the whole model.
        """
        groups = _runs.by_variant(runs)
        found = pd.concat(
            [
                run.tables["aggregations"].assign(variant=name)
                for name, group in groups.items()
                for run in group
            ],
            ignore_index=True,
        )
        found = found[found["updates"] > 0]
        if (found["mean_density"] == 1).all():
            return None
        width_s = found["time_s"].max() / WINDOWS
        found["window"] = np.minimum(found["time_s"] / width_s, WINDOWS - 1).astype(int)
        found["weighted"] = found["mean_density"] * found["updates"]
        windows = found.groupby(["variant", "window"], sort=True)
        frame = windows.agg(
            weighted=("weighted", "sum"),
            updates=("updates", "sum"),
            low=("mean_density", "min"),
            high=("mean_density", "max"),
        ).reset_index()
        frame = frame.assign(
            value=frame["weighted"] / frame["updates"], time_s=(frame["window"] + 0.5) * width_s
        )
        frame = frame.set_index("variant").loc[[name for name in groups if name in set(frame["variant"])]]
        return frame.reset_index()[["variant", "time_s", "value", "low", "high", "updates"]]

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """A line and a band for each variant."""
        scale = _scale.of_seconds(frame["time_s"].max())
        drawn = _style.figure(look, 300, legend=list(frame["variant"].unique()))
        hover = "%{y:.1%} of the parameters (%{customdata[0]:.1%} to %{customdata[1]:.1%})"
        hover = f"{hover} around %{{x:.4g}} {scale.unit}"
        _lines.add_bands(drawn, frame, frame["time_s"] / scale.base, hover, "linear")
        drawn.update_xaxes(title_text=f"virtual time, {scale.unit}", rangemode="tozero")
        return drawn.update_yaxes(title_text=_LABEL, tickformat=".0%", rangemode="tozero")

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        scale = _scale.of_seconds(frame["time_s"].max())
        sheet, axes = _paper.sheet(2.2)
        _lines.paint_bands(axes, frame, frame["time_s"] / scale.base, steps=False)
        axes.set_xlabel(f"virtual time, {scale.unit}")
        axes.set_ylabel(_LABEL)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        _paper.legend(sheet, axes)
        return sheet
