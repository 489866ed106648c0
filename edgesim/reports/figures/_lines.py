"""Curves of variants with bands over their seeds, on a screen and on paper."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from edgesim.reports.figures import _paper, _style


def variants(frame: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Number, name and rows of each variant, in order."""
    for number, (name, rows) in enumerate(frame.groupby("variant", sort=False)):
        yield number, str(name), rows


def add_bands(
    drawn: go.Figure, frame: pd.DataFrame, x: str, divide_by: float, hover: str, shape: str = "hv"
) -> None:
    """Draw a line and a band for each variant.

    Args:
        drawn: to be drawn into.
        frame: columns `variant`, x, `median`, `low` and `high`.
        x: name of the column along the axis.
        divide_by: of x, to come to the unit of the axis.
        hover: what is said where one points, in the language of plotly's templates.
        shape: how points are joined: `hv` in steps, `linear`.
    """
    for number, name, rows in variants(frame):
        places = rows[x] / divide_by
        if not rows["low"].equals(rows["high"]):
            edge = {"mode": "lines", "line": {"width": 0, "shape": shape}, "hoverinfo": "skip"}
            fill = _style.faint(_style.colour(number))
            common = {"x": places, "legendgroup": name, "showlegend": False, **edge}
            drawn.add_scatter(y=rows["low"], **common)
            drawn.add_scatter(y=rows["high"], fill="tonexty", fillcolor=fill, **common)
        drawn.add_scatter(
            x=places,
            y=rows["median"],
            name=name,
            legendgroup=name,
            **_style.line(number),
            line_shape=shape,
            customdata=rows[["low", "high"]],
            hovertemplate=f"{hover}<extra>{_style.escaped(name)}</extra>",
        )


def paint_bands(axes: Axes, frame: pd.DataFrame, x: str, divide_by: float, steps: bool = True) -> None:
    """The same on paper; arguments as in `add_bands`."""
    for number, name, rows in variants(frame):
        places = rows[x] / divide_by
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
            rows["median"],
            drawstyle="steps-post" if steps else "default",
            label=name,
            **_paper.line(number),
        )
