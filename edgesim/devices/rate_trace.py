"""Rates that vary as they were measured: `{trace: drives.csv, column: down_mbps, unit: Mbit/s}`.

A file holds one trace, or several that a column tells apart, as samples with their times. Every device takes
one of them and a time in it to begin at; a trace that is at its end begins again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from edgesim.devices._columns import read_columns, read_texts, refused
from edgesim.devices._strict import Strict
from edgesim.devices.origin import Text
from edgesim.devices.periodic_rate import PeriodicRate
from edgesim.errors import InputError, Problem
from edgesim.rng import Streams
from edgesim.yaml_source import BesideScenario, Quantity

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]

_RATE = Quantity("bit/s", "20 Mbit/s", zero=False)


def _is_of_rates(unit: str) -> str:
    _RATE.parse(f"1 {unit}")
    return unit


class RateTrace(Strict):
    """A link's rate as a file has it.

    Attributes:
        trace: CSV or Parquet file, relative to the scenario.
        column: the column of rates.
        unit: what the rates are given in.
        time: the column of times in seconds. Each sample holds until the next one of its trace, and the last
            as long as the median of the others.
        duration: a column of the seconds that each sample lasts, in place of times.
        trace_column: the column that tells traces apart, by name or number; absent for a single trace.
    """

    trace: BesideScenario
    column: Text
    unit: Annotated[str, AfterValidator(_is_of_rates)]
    time: Text = "t_s"
    duration: Text | None = None
    trace_column: Text | None = None

    def read(self) -> tuple[PeriodicRate, ...]:
        """All traces of the file, in the order of their names.

        Raises:
            InputError: the file cannot be read, lacks a column, or has a trace that is no rate over time,
                or is zero throughout; with place and column.
        """
        return _read(self)

    def of_devices(self, devices: Devices, streams: Streams) -> tuple[NDArray[np.int64], Floats]:
        """Which trace each device takes, and the time in it at the start of the run, [n] each.

        They do not depend on the direction: with both of its rates from one file, a device is at one place.
        """
        traces = self.read()
        which = (streams.uniform("network-trace", devices) * len(traces)).astype(np.int64)
        periods_s = np.array([trace.period_s for trace in traces])
        return which, streams.uniform("network-trace-offset", devices) * periods_s[which]

    def mean_bps(self, devices: Devices, streams: Streams) -> Floats:
        """Mean over time of each device's rate, [n]."""
        which, _ = self.of_devices(devices, streams)
        return np.array([trace.mean_bps for trace in self.read()])[which]


@lru_cache(maxsize=64)
def _read(source: RateTrace) -> tuple[PeriodicRate, ...]:
    path, clock = source.trace, source.duration or source.time
    columns = read_columns(path, {clock: False, source.column: False})
    for name in filter(None, (source.column, source.duration)):
        negative = np.flatnonzero(columns[name] < 0)
        if negative.size:
            raise refused(path, int(negative[0]), name, "is negative; correct it or drop the row")
    names = np.full(len(columns[clock]), path.name)
    if source.trace_column is not None:
        names = read_texts(path, source.trace_column)
    if not len(names):
        raise InputError(Problem("has no samples; add some", place=str(path)))
    rates_bps = columns[source.column] * _RATE.parse(f"1 {source.unit}")
    found = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        lasts_s = columns[clock][rows] if source.duration else _until_next(source, name, rows, columns[clock])
        found.append(_trace(source, name, rows, lasts_s, rates_bps[rows]))
    return tuple(found)


def _until_next(source: RateTrace, name: str, rows: NDArray[np.intp], times_s: Floats) -> Floats:
    """How long the samples in these rows last, by the times of all."""
    lasts_s = np.diff(times_s[rows])
    late = np.flatnonzero(lasts_s < 0)
    if late.size:
        remedy = "sort the rows" if source.trace_column else "sort the rows, or name the column of traces"
        message = f"is earlier than the sample before in {name}; {remedy}"
        raise refused(source.trace, int(rows[late[0] + 1]), source.time, message)
    if not lasts_s.any():
        message = f"is the only time in {name}; a trace needs two or more"
        raise refused(source.trace, int(rows[0]), source.time, message)
    return np.append(lasts_s, np.median(lasts_s[lasts_s > 0]))


def _trace(
    source: RateTrace, name: str, rows: NDArray[np.intp], lasts_s: Floats, rates_bps: Floats
) -> PeriodicRate:
    trace = PeriodicRate.of(lasts_s, rates_bps)
    if not trace.bits[-1]:
        message = f"is zero in all of {name}, so that nothing would ever arrive; leave this trace out"
        raise refused(source.trace, int(rows[0]), source.column, message)
    return trace
