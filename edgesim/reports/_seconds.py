"""Where the seconds of computing in a report come from."""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, str] = {
    "timed": "timed steps",
    "fitted": "a fit to timed steps",
    "measured": "a measured rate",
    "datasheet": "a datasheet's rate",
    "estimated": "an estimated rate",
    "override": "what the scenario says",
}
"""What each `cost_basis` of a visit means, the surest first."""


def sentence(counts: Mapping[str, int], of: str = "visits") -> str:
    """One line: seconds of computing are from timed steps (12 visits) and an estimated rate (8 visits).

    Args:
        counts: by basis, of how many.
        of: what is counted.
    """
    named = [f"{phrase} ({counts[basis]} {of})" for basis, phrase in PHRASES.items() if counts.get(basis)]
    if not named:
        return "Seconds of computing: no visit came so far."
    *most, last = named
    return f"Seconds of computing are from {' and '.join([', '.join(most), last] if most else [last])}."
