"""Laws of shared links: the capacity of none is ever exceeded, and what crossed them is what was sent.

The links are those of the scenario: the server's own (`server`) and those of cells (`fleet[].cell`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from edgesim.results.laws.evidence import (
    TOLERANCE,
    Evidence,
    Finding,
    Floats,
    broken,
    column,
    differs,
    exceeds,
    first_broken,
    judge,
    kept,
    skipped,
)
from edgesim.units import Quantity

_RATE = Quantity("bit/s", "20 Mbit/s")
_STARTS = 500  # intervals begin at so many transfers at most: one pass over all transfers for each


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link of the scenario.

    Attributes:
        name: as in the table of links.
        direction: of the transfers that cross it, `down` or `up`.
        first: the first device whose transfers do.
        end: the device behind the last.
        capacity_bps: what it can carry.
    """

    name: str
    direction: str
    first: int
    end: int
    capacity_bps: float

    def transfers(self, visits: pd.DataFrame) -> pd.DataFrame:
        """Bits, begin and end of the completed transfers that crossed it; pauses may lie on either side."""
        mine = visits[visits["device"].between(self.first, self.end - 1)]
        if self.direction == "down":
            begin_s = mine["dispatched_s"]
            end_s = begin_s + mine["download_s"] + mine["paused_s"]
        else:
            end_s = mine["finished_s"]
            begin_s = end_s - mine["upload_s"] - mine["paused_s"]
        bits = 8 * mine[f"bytes_{self.direction}"]
        return pd.DataFrame({"bits": bits, "begin_s": begin_s, "end_s": end_s}).dropna()


def shared_links_are_never_overloaded(evidence: Evidence) -> Finding:
    """In no interval do more bits cross a shared link than its capacity allows (completed transfers)."""
    links = list(shared_links(evidence.scenario))
    if not links:
        return skipped("the scenario has no shared link")
    for link in links:
        wrong = _overload(link, link.transfers(evidence.visits))
        if wrong is not None:
            return broken(wrong)
    return kept(f"{len(links)} links")


def link_books_are_within_capacity(evidence: Evidence) -> Finding:
    """Per shared link: peak rate within capacity, bits within peak x busy seconds, those within the run."""
    if "links" not in evidence.tables:
        return skipped("this run has no table of links")
    table = evidence.tables["links"]
    if not len(table):
        return skipped("the run had no shared link")
    capacity_bps, bits = column(table, "capacity_bps"), column(table, "bits")
    busy_s, peak_bps = column(table, "busy_s"), column(table, "peak_bps")
    name = table["link"]
    return first_broken(
        judge(
            exceeds(peak_bps, capacity_bps),
            lambda row: f"{name.iloc[row]} carried {peak_bps[row]:g} of {capacity_bps[row]:g} bit/s",
            "links",
        ),
        judge(
            exceeds(bits, peak_bps * busy_s),
            lambda row: (
                f"{name.iloc[row]}: {bits[row]:g} bit in {busy_s[row]:g} s at {peak_bps[row]:g} bit/s"
            ),
            "links",
        ),
        judge(
            exceeds(busy_s, evidence.end_s),
            lambda row: f"{name.iloc[row]} was busy for {busy_s[row]:g} of {evidence.end_s:g} s",
            "links",
        ),
    )


def bytes_on_the_links_are_bytes_of_visits(evidence: Evidence) -> Finding:
    """A shared link carried what the visits across it moved; more only where transfers were cut off."""
    if "links" not in evidence.tables:
        return skipped("this run has no table of links")
    if evidence.scenario.get("server", {}).get("multicast"):
        return skipped("multicast: a part that several devices need crosses a link once")
    table, visits = evidence.tables["links"], evidence.visits
    bits = dict(zip(table["link"], column(table, "bits"), strict=True))
    links = list(shared_links(evidence.scenario))
    if not links:
        return skipped("the scenario has no shared link")
    for link in links:
        if link.name not in bits:
            return broken(f"{link.name} is not in the table of links")
        carried = bits[link.name]
        moved = float(link.transfers(visits)["bits"].sum())
        cut_off = _cut_off(link, visits)
        if exceeds(moved, carried) or (not cut_off and differs(carried, moved)):
            return broken(f"{link.name} carried {carried:.12g} bit, and visits moved {moved:.12g}")
    return kept(f"{len(links)} links")


def shared_links(scenario: Mapping[str, Any]) -> Iterator[SharedLink]:
    """The shared links of a scenario. The server's uplink carries the downloads of all devices."""
    server = scenario.get("server", {})
    counts = [entry["count"] for entry in scenario.get("fleet", [])]
    everyone = (0, sum(counts))
    if not server.get("multicast"):
        yield from _link("server uplink", "down", everyone, server.get("uplink"))
    yield from _link("server downlink", "up", everyone, server.get("downlink"))
    first = number = 0
    for entry, count in zip(scenario.get("fleet", []), counts, strict=True):
        cell = entry.get("cell")
        begins = range(first, first + count, cell["devices"]) if cell else ()
        for begin in begins:
            there = (begin, min(begin + cell["devices"], first + count))
            yield from _link(f"cell {number} downlink", "down", there, cell.get("downlink"))
            yield from _link(f"cell {number} uplink", "up", there, cell.get("uplink"))
            number += 1
        first += count


def _link(name: str, direction: str, devices: tuple[int, int], rate: str | None) -> Iterator[SharedLink]:
    if rate is not None:
        yield SharedLink(name, direction, *devices, _RATE.parse(rate))


def _cut_off(link: SharedLink, visits: pd.DataFrame) -> bool:
    """Whether any visit across a link may have ended in the middle of its transfer."""
    mine = visits[visits["device"].between(link.first, link.end - 1)]
    if link.direction == "down":
        return bool(mine["download_s"].isna().any())
    return bool((mine["upload_s"].isna() & mine["compute_s"].notna()).any())


def _overload(link: SharedLink, transfers: pd.DataFrame) -> str | None:
    """An interval in which transfers that lie wholly within it moved more than the link can carry."""
    by_end = transfers.sort_values("end_s")
    bits, begin_s, end_s = (column(by_end, name) for name in ("bits", "begin_s", "end_s"))
    starts = np.unique(begin_s)
    for start in starts[:: -(-len(starts) // _STARTS) or 1]:
        moved = np.cumsum(np.where(begin_s >= start, bits, 0.0))
        able = link.capacity_bps * (end_s - start)
        worst = _worst(moved, able, start, link.capacity_bps)
        if worst is not None:
            said = f"{link.name} moved {moved[worst]:g} bit from {start:g} to {end_s[worst]:g} s"
            return f"{said}, where {able[worst]:g} are possible"
    return None


def _worst(moved: Floats, able: Floats, start_s: float, capacity_bps: float) -> int | None:
    """Where more was moved than possible; times are known to a share of themselves only."""
    rounding = TOLERANCE * (moved + capacity_bps * start_s)
    over = np.flatnonzero((moved > 0) & (moved > able + rounding))
    return int(over[0]) if over.size else None
