"""What all figures look like on paper: the width of a column, or of a page, in letters of 8 pt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgesim.reports.figures import _style

COLUMN_IN, PAGE_IN = 3.5, 7.16

_LETTERS_PER_IN, _LINE_IN = 17, 0.15  # of a legend

_BLACK = "#000000"
_MARKS = ("o", "s", "D", "^", "P", "*", "X")
_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "edgesim",
}

styled = matplotlib.rc_context(_SETTINGS)
"""Decorates what paints a figure."""


def sheet(height_in: float, width_in: float = COLUMN_IN) -> tuple[Figure, Axes]:
    """An empty figure with one plot."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.add_subplot()


def sheets(count: int, height_in: float) -> Figure:
    """An empty figure with some plots below each other, each as high as that."""
    figure = Figure(figsize=(COLUMN_IN, count * height_in), layout="constrained")
    figure.subplots(count)
    return figure


def legend(figure: Figure, axes: Axes) -> None:
    """The legend, below the plot, in as many columns as fit; the figure grows by its lines."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    width_in, height_in = figure.get_size_inches()
    columns = min(len(labels), max(1, int(width_in * _LETTERS_PER_IN // (7 + max(map(len, labels))))))
    figure.set_size_inches(width_in, height_in + _LINE_IN * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def colour(number: int) -> str:
    """Of the variant of this number: that of the screen, but black for the baseline."""
    found = _style.colour(number)
    return _BLACK if found == _style.GREY else found


def line(number: int) -> dict[str, Any]:
    """Line of the variant of this number: a colour and some marks along it."""
    return {"color": colour(number), "marker": mark(number), "markersize": 3.5, "markevery": 0.12}


def mark(number: int) -> str:
    """Mark of the variant of this number."""
    return _MARKS[_style.mark(number) % len(_MARKS)]


def phase(name: str) -> tuple[float, float, float, float] | str:
    """Colour of what devices spend time on."""
    found = _style.PHASES[name]
    if found.startswith("#"):
        return found
    red, green, blue, opacity = map(float, found.removeprefix("rgba(").removesuffix(")").split(","))
    return red / 255, green / 255, blue / 255, opacity


def save(figure: Figure, path: Path) -> None:
    """Write a figure as `path.png`, 300 dots per inch, and as `path.svg`. The same figure, the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=300, metadata={"Software": None})
        figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None, "Creator": None})
