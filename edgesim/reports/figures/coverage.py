"""How often each layer of the model was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Sheet

from edgesim.registry import component
from edgesim.reports.figures import _lines, _paper, _runs, _style
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

_NAMED = 24  # layers whose names fit beside each other on paper
_LETTERS = 36  # that fit beside each other on a phone; with more the names of layers are turned


@component
class Coverage(Figure):
    """Share of the merged updates that trained the weights of a layer: their mean, least and most."""

    title: ClassVar[str] = "How often each layer was trained"
    caption: ClassVar[str] = (
        "Share of the merged updates that trained a weight of the layer, mean over its weights, with the"
        " least and the most often trained one as a band: look for layers that few devices train."
    )
    order: ClassVar[int] = 60

    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """Columns `variant`, `layer`, `value`, `low` and `high`: shares of the merged updates.

        Null where every update trained everything.
        """
        found = pd.concat(
            [
                _of_run(run).assign(variant=name)
                for name, group in _runs.by_variant(runs).items()
                for run in group
            ],
            ignore_index=True,
        )
        if found.empty or (found[["value", "low"]] == 1).all(axis=None):
            return None
        layers = found.groupby(["variant", "layer"], sort=False)
        frame = layers.agg(value=("value", "mean"), low=("low", "min"), high=("high", "max"))
        return frame.reset_index()

    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """Layers from the input to the output; a line and a band for each variant."""
        longest = frame["layer"].str.len().max()
        turned_px = 6 * longest if longest * frame["layer"].nunique() > _LETTERS else 0
        drawn = _style.figure(look, 300, list(frame["variant"].unique()), ticks_px=turned_px)
        hover = "%{x}: %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%})"
        _lines.add_bands(drawn, frame, frame["layer"], hover, "linear")
        drawn.update_xaxes(title_text=_X, type="category", tickangle=-90 if turned_px else 0)
        return drawn.update_yaxes(title_text=_Y, tickformat=".0%", range=[0, 1.03])

    @_paper.styled
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """The same on paper."""
        sheet, axes = _paper.sheet(2.4)
        layers = list(dict.fromkeys(frame["layer"]))
        places = frame["layer"].map({layer: place for place, layer in enumerate(layers)})
        _lines.paint_bands(axes, frame, places, steps=False)
        named = range(0, len(layers), -(-len(layers) // _NAMED))
        axes.set_xticks(
            list(named), [layers[place] for place in named], rotation=90 if len(layers) > 6 else 0
        )
        axes.set_xlabel(_X)
        axes.set_ylabel(_Y)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter("{x:.0%}")
        _paper.legend(sheet, axes)
        return sheet


_X, _Y = "layer, from the input to the output", "share of updates"


def _of_run(run: RunResult) -> pd.DataFrame:
    """A row for each layer; tensors count by their elements. Empty where nothing was merged."""
    table = run.tables["coverage"]
    merged = int((run.tables["dispatches"]["outcome"] == "aggregated").sum())
    if not merged or table["mean_times"].isna().any():
        return pd.DataFrame({"layer": [], "value": [], "low": [], "high": []})
    weighted = table["mean_times"] * table["elements"]
    layers = table.assign(weighted=weighted).groupby("layer", sort=False)
    frame = pd.DataFrame(
        {
            "value": layers["weighted"].sum() / layers["elements"].sum(),
            "low": layers["least_times"].min(),
            "high": layers["most_times"].max(),
        }
    )
    return (frame / merged).reset_index()
