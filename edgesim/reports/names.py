"""What a scenario can name, kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table

from edgesim.reports import _format
from edgesim.reports._text import to_text

ESTIMATED = "~"

Entries = Mapping[str, Any]


def render(found: Mapping[str, Entries], width: int | None = None) -> str:
    """One table for each kind: the name and what it is, or its numbers."""
    return to_text(_parts(found), width)


def _parts(found: Mapping[str, Entries]) -> Iterator[RenderableType]:
    for kind, entries in found.items():
        yield from _TABLES.get(kind, _lines)(kind, entries)
        yield ""


def _lines(kind: str, entries: Entries) -> Iterator[RenderableType]:
    table = _table(kind, "")
    for name, text in entries.items():
        table.add_row(name, text)
    yield table


def _devices(kind: str, entries: Entries) -> Iterator[RenderableType]:
    yield _figures(kind, entries)
    yield f"{ESTIMATED} is an estimate, {_format.UNKNOWN} unknown; basis: the weaker one of rate and per step"


def _populations(kind: str, entries: Entries) -> Iterator[RenderableType]:
    yield _figures(kind, entries)
    yield "medians; every device differs, as the file of the population says"


def _figures(kind: str, entries: Entries) -> Table:
    table = _table(
        kind, "", "kind", ">rate", ">per step", ">memory", ">idle", ">training", "network", "basis"
    )
    for name, device in entries.items():
        table.add_row(
            name,
            device["title"],
            device["kind"],
            _shown(device, "rate_flops", _format.rate),
            _shown(device, "step_overhead_s", _format.seconds),
            _shown(device, "memory_bytes", _format.size),
            _shown(device, "idle_w", _format.power),
            _shown(device, "active_w", _format.power),
            device["network"],
            device["basis"],
        )
    return table


def _networks(kind: str, entries: Entries) -> Iterator[RenderableType]:
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


_TABLES: dict[str, Callable[[str, Entries], Iterator[RenderableType]]] = {
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


def _shown(entry: Mapping[str, Any], name: str, show: Callable[[float | None], str]) -> str:
    mark = ESTIMATED if entry["bases"].get(name) == "estimated" else ""
    return mark + show(entry[name])
