"""Warnings about layers that were trained too little or unevenly name the layer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from edgesim.results.tables import frame
from edgesim.results.thinness import thin_layers


def coverage(covered: Sequence[float | None], times: Sequence[float | None]) -> pd.DataFrame:
    """A layer `deep` with a weight of 90 and a bias of 10 elements, then a layer `top` of 10."""
    return frame(
        "coverage",
        {
            "tensor": ["deep.weight", "deep.bias", "top.weight"],
            "layer": ["deep", "deep", "top"],
            "times_trained": [4, 4, 40],
            "devices": [1, 1, 9],
            "elements": [90, 10, 10],
            "covered_fraction": covered,
            "mean_times": times,
            "least_times": [0, 0, 0],
            "most_times": [40, 40, 40],
        },
    )


def test_what_is_covered_evenly_gives_no_warning() -> None:
    assert list(thin_layers(coverage([1, 1, 1], [4, 4, 39]))) == []


def test_what_no_update_trained_is_named_with_its_share() -> None:
    (warning,) = thin_layers(coverage([0.5, 1.0, 1.0], [20, 40, 40]))
    assert warning == "parameters that no update ever trained: 45.0% of deep"


def test_a_layer_with_less_than_a_tenth_of_the_updates_is_named() -> None:
    (warning,) = thin_layers(coverage([1, 1, 1], [3.9, 3.9, 40]))
    assert warning == "layers were trained unevenly: top by 40 updates per parameter, deep by 3.9"


def test_runs_from_before_coordinates_were_counted_say_nothing() -> None:
    assert list(thin_layers(coverage([None] * 3, [None] * 3))) == []
