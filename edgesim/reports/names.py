"""What a scenario can name, kind by kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table

from edgesim.reports import _format
from edgesim.reports._text import to_text

ESTIMATED = "~"
TIMED = "*"
BOTH = 2  # authors that are both named
NARROWEST = 80
WIDE = 150  # columns in which devices fit with all that is known of them
MORE = "more in a terminal of 150 columns; all of it with --json"

Entries = Mapping[str, Any]


def render(found: Mapping[str, Entries], width: int | None = None) -> str:
    """One table for each kind: the name and what it is, or its numbers.

    Args:
        found: from `edgesim.catalogue.listed`.
        width: columns; those of the terminal where absent. In fewer than `WIDE` devices show less.
    """
    columns = max(NARROWEST, width or shutil.get_terminal_size().columns)
    return to_text(_parts(found, columns >= WIDE), columns)


def _parts(found: Mapping[str, Entries], wide: bool) -> Iterator[RenderableType]:
    for kind, entries in found.items():
        yield from _TABLES.get(kind, _lines)(kind, entries, wide)
        yield ""


def _lines(kind: str, entries: Entries, _wide: bool) -> Iterator[RenderableType]:
    table = _table(kind, "")
    for name, entry in entries.items():
        papers = "; ".join(map(_cited, entry.get("papers", ())))
        table.add_row(name, f"{entry['about'].rstrip('.')} ({papers})" if papers else entry["about"])
    yield table


def _cited(paper: Mapping[str, Any]) -> str:
    families = [author.partition(",")[0] for author in paper["authors"]]
    named = " and ".join(families) if len(families) <= BOTH else f"{families[0]} et al."
    return f"{named} {paper['year']}"


def _devices(kind: str, entries: Entries, wide: bool) -> Iterator[RenderableType]:
    yield _figures(kind, entries, wide)
    yield f"{ESTIMATED} estimated, {_format.UNKNOWN} unknown; basis: the weaker one of rate and per step"
    if any(device["timed_steps"] for device in entries.values()):
        yield f"{TIMED} with training steps that were timed: cost: measured takes these"
    if not wide:
        yield MORE


def _populations(kind: str, entries: Entries, wide: bool) -> Iterator[RenderableType]:
    yield _figures(kind, entries, wide)
    yield "medians; every device differs, as the file of the population says"


def _figures(kind: str, entries: Entries, wide: bool) -> Table:
    headings = {name: show for name, (show, narrow) in _COLUMNS.items() if wide or narrow}
    table = _table(kind, *headings)
    for name, device in entries.items():
        table.add_row(name, *(show(device) for show in headings.values()))
    return table


def _networks(kind: str, entries: Entries, _wide: bool) -> Iterator[RenderableType]:
    table = _table(kind, "", ">median down", ">median up", ">latency", "basis")
    for name, network in entries.items():
        table.add_row(
            name,
            network["title"],
            _shown(network, "downlink_bps", _format.link_rate),
            _shown(network, "uplink_bps", _format.link_rate),
            _shown(network, "latency_s", _format.seconds),
            network["basis"],
        )
    yield table
    yield f"{ESTIMATED} is an estimate; latency one way, its median; basis: the weakest of the three"


def _shown(entry: Mapping[str, Any], name: str, show: Callable[[float | None], str]) -> str:
    mark = ESTIMATED if entry["bases"].get(name) == "estimated" else ""
    return mark + show(entry[name])


_COLUMNS: dict[str, tuple[Callable[[Mapping[str, Any]], str], bool]] = {
    "": (lambda device: device["title"], False),
    "kind": (lambda device: device["kind"], False),
    ">rate": (lambda device: _shown(device, "rate_flops", _format.rate), True),
    ">per step": (lambda device: _shown(device, "step_overhead_s", _format.seconds), True),
    ">memory": (lambda device: _shown(device, "memory_bytes", _format.size), True),
    ">idle": (lambda device: _shown(device, "idle_w", _format.power), False),
    ">training": (lambda device: _shown(device, "active_w", _format.power), False),
    "network": (lambda device: device["network"], True),
    "basis": (lambda device: device["basis"] + (TIMED if device["timed_steps"] else ""), True),
}
"""Columns of devices: what they show, and whether also where there is little room."""

_TABLES: dict[str, Callable[[str, Entries, bool], Iterator[RenderableType]]] = {
    "devices": _devices,
    "populations": _populations,
    "networks": _networks,
}


def _table(*headings: str) -> Table:
    """A table without lines: figures on the right under headings with `>`, text without one may fold."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading.startswith(">") else "left"
        table.add_column(heading.removeprefix(">"), justify=justify, no_wrap=heading != "")
    return table
