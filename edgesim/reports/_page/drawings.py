"""The figures of a page, packed: what plotly.js draws in the reader's browser, and the numbers as CSV."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from plotly.offline import get_plotlyjs

from edgesim.reports import figures
from edgesim.reports._page.tables import as_csv
from edgesim.results.run import RunResult

_TALL_PX = 700

LOOKS: tuple[figures.Look, ...] = ("light", "dark")


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        name: of the figure, and of its CSV file.
        title: a few words.
        caption: what to look for.
        plot: traces and layout as plotly.js takes them, without a template.
        csv: what is drawn.
    """

    name: str
    title: str
    caption: str
    plot: Mapping[str, Any]
    csv: str

    @property
    def tall(self) -> bool:
        """Whether it needs the whole width of a page."""
        return int(self.plot["layout"]["height"]) > _TALL_PX


def drawings(runs: Sequence[RunResult]) -> list[Drawing]:
    """The figures that have something to show of these runs."""
    return [drawing for name in figures.names() if (drawing := _drawing(name, runs)) is not None]


def _drawing(name: str, runs: Sequence[RunResult]) -> Drawing | None:
    figure = figures.figure(name)
    frame = figure.data(runs)
    if frame is None:
        return None
    plot = json.loads(figure.plotly(frame, "light").to_json())
    plot["layout"].pop("template", None)
    return Drawing(name, figure.title, figure.caption, plot, as_csv(frame))


def templates() -> dict[str, Mapping[str, Any]]:
    """The looks that a page switches between."""
    return {look: figures.template(look) for look in LOOKS}


@cache
def library() -> str:
    """plotly.js, packed: a fourth of its size, and nothing to be fetched."""
    return packed(get_plotlyjs())


def packed(text: str) -> str:
    """Text as gzip in base 64; equal texts give equal ones."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")
