"""Horizontal rows under headings: where each stands, and what is written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from edgesim.reports.figures import _style

ROW_PX, ROW_IN = 17, 0.125


@dataclass(frozen=True)
class Rows:
    """Rows from the top down.

    Attributes:
        place: of each row by what it is of.
        label: the text on its left, by the same.
        headings: place, text and level of each heading; level 0 is that of the outermost.
        length: rows and headings together.
    """

    place: dict[tuple[str, ...], int]
    label: dict[tuple[str, ...], str]
    headings: list[tuple[int, str, int]]
    length: int


def laid_out(frame: pd.DataFrame, levels: Sequence[str], label: str) -> Rows:
    """A row for each combination of values in a table, in order, under a heading wherever a level changes.

    Args:
        frame: the table.
        levels: its columns with headings, the outermost first, and last that which makes a row.
        label: the column that is written beside a row.
    """
    place: dict[tuple[str, ...], int] = {}
    labels: dict[tuple[str, ...], str] = {}
    headings: list[tuple[int, str, int]] = []
    at, last = 0, ("",) * len(levels)
    for *key, text in (
        frame[[*levels, label]].drop_duplicates(list(levels)).astype(str).itertuples(index=False)
    ):
        for level in range(len(levels) - 1):
            if tuple(key[: level + 1]) != last[: level + 1]:
                headings.append((at, key[level], level))
                at += 1
        last = tuple(key)
        place[last], labels[last] = at, text
        at += 1
    return Rows(place, labels, headings, at)


def add_rows(drawn: go.Figure, rows: Rows) -> None:
    """The vertical axis on a screen: labels on the left, headings inside."""
    drawn.update_yaxes(
        range=[rows.length - 0.4, -0.6],
        tickvals=list(rows.place.values()),
        ticktext=[_style.escaped(text) for text in rows.label.values()],
        tickfont_size=11,
        showgrid=False,
        ticks="",
        fixedrange=True,
    )
    drawn.update_layout(annotations=[_heading(*heading) for heading in rows.headings])


def _heading(place: int, text: str, level: int) -> dict[str, Any]:
    shown = _style.escaped(text)
    return {
        "xref": "x domain",
        "x": 0,
        "xanchor": "left",
        "y": place,
        "yanchor": "middle",
        "text": f"<b>{shown}</b>" if level == 0 else shown,
        "font_size": 13 if level == 0 else 12,
        "showarrow": False,
    }


def add_right(drawn: go.Figure, rows: Rows, texts: Sequence[str]) -> None:
    """A text on the right of each row of a figure that has its rows."""
    drawn.add_scatter(x=[None], y=[None], yaxis="y2", showlegend=False, hoverinfo="skip")
    drawn.update_layout(
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "matches": "y",
            "tickvals": list(rows.place.values()),
            "ticktext": list(texts),
            "tickfont_size": 11,
            "showgrid": False,
            "ticks": "",
            "fixedrange": True,
        }
    )


def paint_rows(axes: Axes, rows: Rows) -> None:
    """The same on paper."""
    axes.set_ylim(rows.length - 0.4, -0.6)
    axes.set_yticks(list(rows.place.values()), list(rows.label.values()), fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for place, text, level in rows.headings:
        axes.text(
            0.002,
            place,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7,
            fontweight="bold" if level == 0 else "normal",
        )


def paint_right(axes: Axes, rows: Rows, texts: Sequence[str]) -> None:
    """A text on the right of each row on paper."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(list(rows.place.values()), list(texts), fontsize=6)
    right.tick_params(axis="y", length=0)
    right.spines["right"].set_visible(False)
