"""What all figures look like on a screen: colours, axes with units, and the two looks.

Colours are those of Okabe and Ito (2008, "Color universal design"), which colour-blind people can tell apart.
Of their eight, grey stands for black and yellow is left out, so that each is seen on white and on black: the
two looks then differ in the template of a figure alone, and nothing has to be drawn again.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from edgesim.reports.figures._figure import Look

GREY, BLUE, VERMILION, GREEN = "#7F7F7F", "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"

_COLOURS = (GREY, BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x")

PHASES = {
    "download": SKY,
    "compute": ORANGE,
    "upload": GREEN,
    "cut off": VERMILION,
    "waiting": "rgba(127,127,127,0.55)",
    "idle": "rgba(127,127,127,0.22)",
    "absent": "rgba(204,121,167,0.45)",
}
"""What devices spend time on, by colour."""

_INK = {"light": "#1F2328", "dark": "#E6EDF3"}
_FAINT = {"light": "rgba(31,35,40,0.14)", "dark": "rgba(230,237,243,0.18)"}
_LABEL = {"light": "#FFFFFF", "dark": "#161B22"}

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_ABOVE_PX, _LINE_PX = 14, 20
_PHONE_PX = 400
_SYMBOL_PX, _LETTER_PX = 48, 7.2  # of an entry of a legend


def colour(number: int) -> str:
    """Of the variant of this number; the baseline, number 0, is grey."""
    return _COLOURS[number % len(_COLOURS)]


def line(number: int) -> dict[str, Any]:
    """Line of the variant of this number: a colour and, as a second channel, some marks along it."""
    marker = {"symbol": symbol(number), "size": 7, "maxdisplayed": 9}
    return {"line": {"color": colour(number), "width": 2}, "marker": marker, "mode": "lines+markers"}


def mark(number: int) -> int:
    """Which mark the variant of this number has: another one where its colour comes again."""
    return number + number // len(_COLOURS)


def symbol(number: int) -> str:
    """Mark of the variant of this number."""
    return _SYMBOLS[mark(number) % len(_SYMBOLS)]


def hatch(ground: str) -> dict[str, Any]:
    """Hatches on a bar of this colour."""
    return {"shape": "/", "size": 5, "solidity": 0.4, "fgcolor": "rgba(255,255,255,0.8)", "bgcolor": ground}


def faint(hexadecimal: str, opacity: float = 0.18) -> str:
    """A colour that what lies behind shines through."""
    red, green, blue = (int(hexadecimal[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def escaped(text: str) -> str:
    """Text as plotly shows it as it stands: it reads some HTML."""
    return html.escape(text, quote=False)


def add_level(drawn: go.Figure, value: float, text: str, *, logarithmic: bool = False) -> None:
    """A dotted line across the plot, with what it means; in the ink of the look."""
    place = math.log10(value) if logarithmic else value  # plotly asks for it of notes, not of lines
    drawn.add_shape(
        type="line",
        xref="x domain",
        x0=0,
        x1=1,
        yref="y",
        y0=value,
        y1=value,
        line={"dash": "dot", "width": 1.5},
    )
    drawn.add_annotation(
        xref="x domain", x=0, xanchor="left", y=place, yanchor="bottom", text=escaped(text), showarrow=False
    )


def figure(
    look: Look, height_px: int, legend: Sequence[str] = (), *, ticks_px: int = 0, beside_px: int = 60
) -> go.Figure:
    """An empty figure, transparent, as wide as its place, with its legend below the plot.

    Args:
        look: light or dark.
        height_px: of the plot; what stands below it comes on top of that.
        legend: its entries; they say how much room a narrow screen needs.
        ticks_px: what the labels of the horizontal axis need beyond a line.
        beside_px: what stands on the left and the right of the plot; the legend is as wide as the plot.
    """
    axis_px = 50 + ticks_px
    below_px = axis_px + 6 + _LINE_PX * _legend_lines(legend, _PHONE_PX - beside_px)
    drawn = go.Figure()
    return drawn.update_layout(
        template=template(look),
        height=_ABOVE_PX + height_px + below_px,
        margin={"l": 8, "r": 14, "t": _ABOVE_PX, "b": below_px},
        showlegend=bool(legend),
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -axis_px / height_px,
            "yanchor": "top",
            "tracegroupgap": 0,
        },
    )


def _legend_lines(legend: Sequence[str], width_px: float) -> int:
    """How many lines the legend takes."""
    lines, left_px = 0, 0.0
    for entry in legend:
        entry_px = _SYMBOL_PX + _LETTER_PX * len(entry)
        if entry_px > left_px:
            lines, left_px = lines + 1, width_px
        left_px -= entry_px
    return lines


def template(look: Look) -> go.layout.Template:
    """Everything in which the looks differ."""
    ink, grid = _INK[look], _FAINT[look]
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": grid,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 13, "color": ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {"bgcolor": _LABEL[look], "bordercolor": grid, "font": {"color": ink}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": grid, "activecolor": ink},
            "shapedefaults": {"line": {"color": ink}},
        }
    )
