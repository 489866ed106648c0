"""The tables of a run (design section 5): which columns, of which kind, and where a value may be unknown.

Integers are int64, or pandas' nullable Int64 where they may be unknown. Numbers are float64 with NaN for
unknown. Text is pandas' string type. In Parquet an unknown value is a null, whatever its kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from edgesim.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds, whether its values may be unknown, and what tables from before it mean."""

    kind: Literal["integer", "number", "text"]
    nullable: bool = False
    before: float | None = None


_INTEGER, _NUMBER, _TEXT = Column("integer"), Column("number"), Column("text")
_INTEGER_OR_NULL, _NUMBER_OR_NULL = Column("integer", nullable=True), Column("number", nullable=True)
_TEXT_OR_NULL = Column("text", nullable=True)
_LATER_NUMBER = Column("number", nullable=True, before=math.nan)  # tables from before it do not know it

SCHEMAS: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "evaluations": {
            "time_s": _NUMBER,
            "version": _INTEGER,
            "loss": _NUMBER_OR_NULL,
            "accuracy": _NUMBER_OR_NULL,
        },
        "dispatches": {
            "dispatch": _INTEGER,
            "device": _INTEGER,
            "visit": _INTEGER,
            "profile": _TEXT,
            "submodel": _TEXT,
            "density": _NUMBER,
            "kept": _LATER_NUMBER,
            "base_version": _INTEGER,
            "staleness": _INTEGER_OR_NULL,
            "dispatched_s": _NUMBER,
            "download_s": _NUMBER_OR_NULL,
            "compute_s": _NUMBER_OR_NULL,
            "upload_s": _NUMBER_OR_NULL,
            "paused_s": Column("number", before=0.0),
            "finished_s": _NUMBER_OR_NULL,
            "outcome": _TEXT,
            "bytes_down": _INTEGER,
            "bytes_up": _INTEGER,
            "train_flops": _INTEGER,
            "energy_j": _NUMBER_OR_NULL,
            "train_loss": _NUMBER_OR_NULL,
            "cost_basis": _TEXT_OR_NULL,
        },
        "aggregations": {
            "time_s": _NUMBER,
            "version": _INTEGER,
            "updates": _INTEGER,
            "mean_staleness": _NUMBER,
            "mean_density": _NUMBER,
            "mean_kept": _LATER_NUMBER,
            "covered_fraction": _NUMBER,
        },
        "coverage": {
            "tensor": _TEXT,
            "layer": _TEXT,
            "times_trained": _INTEGER,
            "devices": _INTEGER,
            "elements": _LATER_NUMBER,
            "covered_fraction": _LATER_NUMBER,
            "mean_times": _LATER_NUMBER,
            "least_times": _LATER_NUMBER,
            "most_times": _LATER_NUMBER,
        },
        "participation": {
            "profile": _TEXT,
            "devices": _INTEGER,
            "dispatches": _INTEGER,
            "aggregated": _INTEGER,
            "devices_aggregated": _INTEGER,
            "share": _NUMBER,
            "mean_density": _NUMBER_OR_NULL,
            "mean_kept": _NUMBER_OR_NULL,
            "mean_staleness": _NUMBER_OR_NULL,
        },
        "divergence": {"version": _INTEGER, "layer": _TEXT, "divergence": _NUMBER_OR_NULL},
        "devices": {
            "device": _INTEGER,
            "profile": _TEXT,
            "dispatches": _INTEGER,
            "aggregated": _INTEGER,
            "busy_s": _NUMBER,
            "download_s": _NUMBER,
            "compute_s": _NUMBER,
            "upload_s": _NUMBER,
            "paused_s": _NUMBER,
            "idle_s": _NUMBER,
            "absent_s": _NUMBER,
            "bytes_down": _INTEGER,
            "bytes_up": _INTEGER,
            "energy_j": _NUMBER_OR_NULL,
            "idle_j": _NUMBER_OR_NULL,
        },
        "data_split": {"device": _INTEGER, "profile": _TEXT, "label": _INTEGER, "samples": _INTEGER},
        "closed_form": {"version": _INTEGER, "gap": _NUMBER_OR_NULL, "distance": _NUMBER_OR_NULL},
        "links": {
            "link": _TEXT,
            "capacity_bps": _NUMBER,
            "bits": _NUMBER,
            "busy_s": _NUMBER,
            "peak_bps": _NUMBER,
        },
        "origins": {
            "entry": _INTEGER,
            "profile": _TEXT,
            "devices": _INTEGER,
            "figure": _TEXT,
            "value": _NUMBER_OR_NULL,
            "low": _NUMBER_OR_NULL,
            "high": _NUMBER_OR_NULL,
            "basis": _TEXT,
            "source": _TEXT_OR_NULL,
        },
        "growth": {
            "time_s": _NUMBER,
            "version": _INTEGER,
            "device": _INTEGER,
            "capacity_before": _NUMBER,
            "capacity": _NUMBER,
            "cause": _TEXT,
            "outcome": _TEXT,
        },
    }
)
"""Columns that each table always has, in order. Evaluations may have further metrics, all of them numbers."""

LATER = ("devices", "links", "participation", "divergence", "origins", "growth", "data_split", "closed_form")
"""Tables that a run may lack: they came later."""

_PANDAS = {"integer": "Int64", "number": "float64", "text": "string[pyarrow]"}
_ARROW = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
_READ_AS = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype("pyarrow")}


def frame(name: str, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table of a run from its columns, in the order and of the kinds that its schema says.

    A column that came later may be missing; it is filled with what its absence meant.

    Args:
        name: of the table.
        columns: values by column; None or NaN where unknown.

    Raises:
        ValueError: a column is missing, not known, not as long as the others, or holds what it may not hold.
    """
    schema = _schema(name, columns)
    rows = len(next(iter(columns.values()))) if isinstance(columns, Mapping) else len(columns)
    values = {
        key: _values(f"{name}.{key}", columns[key] if key in columns else [kind.before] * rows, kind)
        for key, kind in schema.items()
    }
    lengths = {key: len(series) for key, series in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of {name} differ in length: {lengths}")
    return pd.DataFrame(values)


def write(name: str, table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet. The same table gives the same bytes: no index, no times, no pandas metadata.

    Raises:
        ValueError: it is not a table of this name, as in `frame`.
    """
    checked = frame(name, table)
    fields = [
        pa.field(key, _ARROW[column.kind], nullable=column.nullable)
        for key, column in _schema(name, checked).items()
    ]
    arrow = pa.Table.from_pandas(checked, schema=pa.schema(fields), preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata(None), path, compression="zstd")


def read(name: str, path: Path) -> pd.DataFrame:
    """Read a table that `write` has written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no Parquet file, or not this table.
    """
    arrow = pq.read_table(path, partitioning=None)
    return frame(name, arrow.to_pandas(types_mapper=_READ_AS.get))


def _schema(name: str, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> dict[str, Column]:
    known = SCHEMAS[name]
    missing = [key for key, kind in known.items() if key not in columns and kind.before is None]
    further = [str(key) for key in columns if key not in known]
    if missing:
        raise ValueError(f"{name} has no column {', '.join(missing)}")
    if further and name != "evaluations":
        hint = did_you_mean(further[0], known)
        raise ValueError(f'"{further[0]}" is no column of {name}{hint}')
    return {**known, **dict.fromkeys(further, _NUMBER_OR_NULL)}


def _values(name: str, values: Sequence[Any] | pd.Series[Any], column: Column) -> pd.Series[Any]:
    try:
        series = pd.Series(values, dtype=_PANDAS[column.kind]).reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds what is no {column.kind}: {error}") from error
    if column.nullable:
        return series
    unknown = series.isna().to_numpy()
    if unknown.any():
        raise ValueError(f"{name} is unknown in row {int(unknown.argmax())}, and may not be")
    return series.astype("int64") if column.kind == "integer" else series
