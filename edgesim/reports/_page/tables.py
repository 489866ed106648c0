"""The tables of a report: what the page shows, and the numbers behind it as CSV."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from edgesim.reports import _format
from edgesim.reports.comparison import Comparison, columns, participation_rows, to_csv


@dataclass(frozen=True)
class PageTable:
    """One table.

    Attributes:
        name: of its CSV file.
        caption: what it shows.
        headings: of the columns; the first column names the row.
        rows: texts, a cell for each heading.
        csv: the numbers behind it, in base units.
        numeric: whether all columns but the first are numbers, which are read from the right.
    """

    name: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    csv: str
    numeric: bool = True


def variants(comparison: Comparison) -> PageTable:
    """The variants: seconds, speed-up, quality, bytes and joules, as far as any of it is known."""
    shown = columns(comparison)
    received = {"bytes down": lambda variant: _format.size(variant.bytes_down)}
    cells = {
        heading: [(shown | received)[heading](variant) for variant in comparison.variants]
        for heading in _with_bytes_down(list(shown))
    }
    known = {heading: column for heading, column in cells.items() if set(column) != {_format.UNKNOWN}}
    several = any(len(variant.seeds) > 1 for variant in comparison.variants)
    over = ": medians over the seeds, in brackets their intervals" if several else ""
    return PageTable(
        name="comparison",
        caption=f"The variants{over}. Bytes and joules are those of all devices in a whole run.",
        headings=("variant", *known),
        rows=tuple(zip([variant.name for variant in comparison.variants], *known.values(), strict=True)),
        csv=to_csv(comparison),
    )


def _with_bytes_down(headings: list[str]) -> list[str]:
    place = headings.index("bytes up")
    return [*headings[:place], "bytes down", *headings[place:]]


def participation(comparison: Comparison) -> PageTable:
    """Who took part, by device class."""
    parts = [
        {"variant": variant.name, "profile": profile, **part}
        for variant in comparison.variants
        for profile, part in variant.participation.items()
    ]
    return PageTable(
        name="participation",
        caption="Updates that were merged, of the visits that were asked for, over all seeds.",
        headings=("device class", *(variant.name for variant in comparison.variants)),
        rows=tuple((profile, *cells) for profile, cells in participation_rows(comparison).items()),
        csv=as_csv(pd.DataFrame(parts)),
    )


def as_csv(frame: pd.DataFrame) -> str:
    """A table as CSV, unknown values as empty cells."""
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text
