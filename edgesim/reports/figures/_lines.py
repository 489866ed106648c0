"""Curves of variants with bands over their seeds, on a screen and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from edgesim.reports.figures import _paper, _style


def variants(frame: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Number, name and rows of each variant, in order."""
    for number, (name, rows) in enumerate(frame.groupby("variant", sort=False)):
        yield number, str(name), rows


def add_bands(
    drawn: go.Figure, frame: pd.DataFrame, x: pd.Series[Any], hover: str, shape: str = "hv"
) -> None:
    """Draw a line and a band for each variant.

    Args:
        drawn: to be drawn into.
        frame: columns `variant`, `value`, `low` and `high`.
        x: where on the axis each of its rows is.
        hover: what is said where one points, in the language of plotly's templates.
        shape: how points are joined: `hv` in steps, `linear`.
    """
    for number, variant, rows in variants(frame):
        name, places = _style.escaped(variant), x[rows.index]
        if not rows["low"].equals(rows["high"]):
            edge = {"mode": "lines", "line": {"width": 0, "shape": shape}, "hoverinfo": "skip"}
            fill = _style.faint(_style.colour(number))
            common = {"x": places, "legendgroup": name, "showlegend": False, **edge}
            drawn.add_scatter(y=rows["low"], **common)
            drawn.add_scatter(y=rows["high"], fill="tonexty", fillcolor=fill, **common)
        drawn.add_scatter(
            x=places,
            y=rows["value"],
            name=name,
            legendgroup=name,
            **_style.line(number),
            line_shape=shape,
            customdata=rows[["low", "high"]],
            hovertemplate=f"{hover}<extra>{name}</extra>",
        )


def paint_bands(axes: Axes, frame: pd.DataFrame, x: pd.Series[Any], steps: bool = True) -> None:
    """The same on paper; arguments as in `add_bands`."""
    for number, name, rows in variants(frame):
        places = x[rows.index]
        if not rows["low"].equals(rows["high"]):
            axes.fill_between(
                places,
                rows["low"],
                rows["high"],
                step="post" if steps else None,
                color=_paper.colour(number),
                alpha=0.18,
                linewidth=0,
            )
        axes.plot(
            places,
            rows["value"],
            drawstyle="steps-post" if steps else "default",
            label=name,
            **_paper.line(number),
        )
