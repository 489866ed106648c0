"""Runs for the tests of figures: the golden run, and what others may look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from edgesim.results.run import RunResult
from edgesim.results.summary import summarise
from tests.results import golden_run
from tests.results.golden_run import CONTEXT, table

Columns = Mapping[str, Sequence[Any]]


def run(variant: str = "main", seed: int = 1, **tables: Columns | None) -> RunResult:
    """The golden run as another variant and seed, with columns of tables replaced, or tables taken away."""
    found: dict[str, pd.DataFrame] = golden_run.all_tables()
    for name, columns in tables.items():
        if columns is None:
            del found[name]
        else:
            found[name] = table(name, **columns)
    return replace(
        golden_run.result(),
        manifest={**golden_run.HEADER, "variant": variant, "seed": {"learning": seed, "timing": seed}},
        summary=summarise(found, CONTEXT),
        tables=found,
    )


def learning(variant: str, seed: int, times_s: Sequence[float], accuracies: Sequence[float]) -> RunResult:
    """A run of which only its evaluations matter."""
    return run(
        variant,
        seed,
        evaluations={
            "time_s": times_s,
            "version": list(range(len(times_s))),
            "loss": [1.0 - accuracy for accuracy in accuracies],
            "accuracy": accuracies,
        },
    )


def theory(
    variant: str, seed: int, gaps: Sequence[float], closed_form: Sequence[float | None] | None = None
) -> RunResult:
    """A run that knows its optimum and, where they are given, the gaps of its closed form."""
    versions = list(range(len(gaps)))
    known = {"version": versions, "gap": closed_form, "distance": closed_form}
    return run(
        variant,
        seed,
        evaluations={
            "time_s": [10.0 * at for at in range(len(gaps))],
            "version": versions,
            "loss": [1.0 + gap for gap in gaps],
            "accuracy": [None] * len(gaps),
            "gap": gaps,
        },
        data_split=None,
        closed_form=None if closed_form is None else known,
    )


def stale(variant: str = "stale", seed: int = 1) -> RunResult:
    """A run whose second update missed a version and was of half a model."""
    return run(
        variant,
        seed,
        dispatches={
            "staleness": [0, None, None, 1, None, None],
            "base_version": [0, 0, 0, 0, 1, 1],
            "density": [1.0, 0.5, 0.5, 0.5, 1.0, 1.0],
        },
        aggregations={"mean_staleness": [0.0, 1.0], "mean_density": [1.0, 0.5]},
        coverage={"times_trained": [2, 2], "mean_times": [1.5, 1.5], "least_times": [1, 1]},
    )
