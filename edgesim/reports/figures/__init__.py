"""Figures of a report: what a run, or several, look like. One figure per file; a new file is a new figure.

A name is that of a file. A file whose name begins with an underscore belongs to the package itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim import registry
from edgesim.errors import did_you_mean
from edgesim.reports.figures._figure import Figure, Look
from edgesim.results.run import RunResult

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure as Sheet

__all__ = ["Figure", "Look", "applicable", "draw", "figure", "names", "paint", "save", "template"]

_ROOM = "reports.figures"


@cache
def figure(name: str) -> Figure:
    """The figure of this name.

    Raises:
        LookupError: there is none.
    """
    known = registry.names(_ROOM)
    if name not in known:
        raise LookupError(f'no figure "{name}"{did_you_mean(name, known)}')
    made: Figure = registry.builtin(_ROOM, name)()
    return made


def names() -> list[str]:
    """Names of all figures, in the order in which a report shows them."""
    return sorted(registry.names(_ROOM), key=lambda name: figure(name).order)


def applicable(runs: Sequence[RunResult]) -> list[str]:
    """Names of the figures that have something to show of these runs, in order."""
    return [name for name in names() if figure(name).data(runs) is not None]


def draw(name: str, runs: Sequence[RunResult], look: Look = "light") -> go.Figure:
    """A figure for a screen, interactive.

    Raises:
        LookupError: there is no such figure, or these runs have nothing of the kind.
    """
    return figure(name).plotly(_frame(name, runs), look)


def paint(name: str, runs: Sequence[RunResult]) -> Sheet:
    """A figure for a paper.

    Raises:
        LookupError: there is no such figure, or these runs have nothing of the kind.
    """
    return figure(name).matplotlib(_frame(name, runs))


def save(sheet: Sheet, path: Path) -> None:
    """Write a figure as `path.png`, 300 dots per inch, and as `path.svg`. Equal figures, equal bytes.

    Raises:
        OSError: it cannot be written.
    """
    from edgesim.reports.figures import _paper

    _paper.save(sheet, path)


def template(look: Look) -> dict[str, Any]:
    """All that a look consists of: `Plotly.relayout(plot, {template: ...})` gives it to a drawn figure."""
    from edgesim.reports.figures import _style

    found: dict[str, Any] = _style.template(look).to_plotly_json()
    return found


def _frame(name: str, runs: Sequence[RunResult]) -> Any:
    frame = figure(name).data(runs)
    if frame is None:
        raise LookupError(f'these runs have nothing that figure "{name}" could show')
    return frame
