"""What a scenario can name, kind by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from edgesim.reports._text import to_text


def render(found: Mapping[str, Mapping[str, str]], width: int | None = None) -> str:
    """One table for each kind: the name and what it is."""
    return to_text(_parts(found), width)


def _parts(found: Mapping[str, Mapping[str, str]]) -> Iterator[RenderableType]:
    for kind, entries in found.items():
        table = Table(kind, "", box=None, pad_edge=False)
        for name, text in entries.items():
            table.add_row(name, text)
        yield table
        yield ""
