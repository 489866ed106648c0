"""Layers that were trained too little or unevenly, from the coverage table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

NEVER = 0.01  # share of a layer's parameters that may stay untrained without a word
UNEVEN = 0.1  # of the best-trained layer's updates per parameter
_NAMED = 3  # layers that a warning names


def thin_layers(coverage: pd.DataFrame) -> Iterator[str]:
    """A warning for what was never trained, and one for what was trained far less than the rest."""
    if not len(coverage) or coverage["mean_times"].isna().any():
        return
    layers = _by_layer(coverage)
    holes = layers[layers["covered"] < 1 - NEVER]
    if len(holes):
        yield "parameters that no update ever trained: " + _listed(
            holes.sort_values("covered"), lambda row: f"{1 - row['covered']:.1%} of {row.name}"
        )
    most = layers["times"].max()
    thin = layers[(layers["times"] < UNEVEN * most) & (layers["covered"] >= 1 - NEVER)]
    if len(thin):
        best = layers["times"].idxmax()
        yield f"layers were trained unevenly: {best} by {most:.4g} updates per parameter, " + _listed(
            thin.sort_values("times"), lambda row: f"{row.name} by {row['times']:.2g}"
        )


def _by_layer(coverage: pd.DataFrame) -> pd.DataFrame:
    """Per layer, the share of its parameters that was ever trained and the mean number of updates."""
    weights = coverage["elements"].astype("float64")
    weighted = pd.DataFrame(
        {
            "layer": coverage["layer"],
            "elements": weights,
            "covered": coverage["covered_fraction"] * weights,
            "times": coverage["mean_times"] * weights,
        }
    )
    sums = weighted.groupby("layer", sort=False).sum()
    return sums[["covered", "times"]].div(sums["elements"], axis=0)


def _listed(rows: pd.DataFrame, say: Callable[[Any], str]) -> str:
    named = [say(row) for _, row in rows.head(_NAMED).iterrows()]
    more = len(rows) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
