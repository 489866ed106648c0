"""One curve of a variant from those of its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgesim.learner import falls
from edgesim.reports._statistics import spread
from edgesim.results.run import RunResult

Floats = NDArray[np.float64]

_BUCKETS = 100


@dataclass(frozen=True, eq=False)
class Steps:
    """What a run measured: from each place on, the value that holds until the next one; the last one stays.

    Attributes:
        at: places in rising order (seconds, versions), [n]; at least one.
        value: values, [n]; infinite where lost, without NaN.
    """

    at: Floats
    value: Floats

    def read(self, places: Floats) -> Floats:
        """The values at these places, none of which lies before the first."""
        return self.value[np.searchsorted(self.at, places, side="right") - 1]


def all_know(runs: Sequence[RunResult], metric: str) -> bool:
    """Whether each run has measured this at least once."""
    evaluations = [run.tables["evaluations"] for run in runs]
    return all(metric in table and table[metric].notna().any() for table in evaluations)


def of_run(run: RunResult, at: str, metric: str, table: str = "evaluations") -> Steps:
    """What a run's evaluations found; a loss that is no number is infinite.

    Args:
        run: with at least one evaluation.
        at: column along the axis, `time_s` or `version`.
        metric: what was measured.
        table: where it is, if not among the evaluations.
    """
    rows = run.tables[table]
    values = rows[metric].fillna(math.inf) if falls(metric) else rows[metric]
    known = values.notna()
    return Steps(rows.loc[known, at].to_numpy(np.float64), values[known].to_numpy(np.float64))


def over_seeds(curves: Sequence[Steps]) -> pd.DataFrame:
    """Median and interval (see `spread`) over seeds, wherever any of them measured anew.

    Begins where all have begun, ends where the last one ends. At most four places in each hundredth of the
    length are kept, those that a drawing cannot do without: the first and the last, the least and the most
    (M4: Jugel et al. 2014, "M4: a visualization-oriented time series data aggregation").

    Returns:
        Columns `at`, `value`, `low` and `high`; NaN where infinite.
    """
    places = np.unique(np.concatenate([curve.at for curve in curves]))
    places = places[places >= max(curve.at[0] for curve in curves)]
    values = np.array([curve.read(places) for curve in curves])
    kept = thinned(places, np.median(values, axis=0))
    rows = [spread(column.tolist()) for column in values[:, kept].T]
    frame = pd.DataFrame(
        {
            "at": places[kept],
            "value": [row.median for row in rows],
            "low": [row.low for row in rows],
            "high": [row.high for row in rows],
        }
    )
    return frame.replace([math.inf, -math.inf], math.nan)


def thinned(at: Floats, value: Floats) -> NDArray[np.int64]:
    """Which points to draw, in order: of each hundredth of the length the first, last, least and most.

    Args:
        at: places in rising order, [n].
        value: what is drawn there, [n].
    """
    if len(at) <= 4 * _BUCKETS:
        return np.arange(len(at))
    bucket = np.minimum((at - at[0]) / (at[-1] - at[0]) * _BUCKETS, _BUCKETS - 1).astype(np.int64)
    points = pd.DataFrame({"bucket": bucket, "row": np.arange(len(at)), "value": value})
    groups = points.groupby("bucket")
    rows = [groups["row"].min(), groups["row"].max(), groups["value"].idxmin(), groups["value"].idxmax()]
    return np.unique(np.concatenate([found.to_numpy(dtype=np.int64) for found in rows]))
