"""The timeline of a run in the Trace Event format (JSON object form), for ui.perfetto.dev.

One track per device that was ever sent out, with its phases as complete events; the server's aggregations and
evaluations as instant events, and the accuracy as a counter. Times are whole microseconds of virtual time:
readers turn them into whole nanoseconds, and fractions would make neighbouring phases overlap.

Format: "Trace Event Format", N. Duca and D. Sinclair, Google, 2016.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

Event: TypeAlias = dict[str, Any]

PHASES = ("download", "compute", "upload")

_SERVER, _DEVICES = 1, 2
_AGGREGATIONS, _EVALUATIONS = 1, 2
_FIRST_DEVICE = 3  # readers take thread numbers for unique over all processes
_ROWS_AT_ONCE = 10_000


def write(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write the timeline, gzipped. The same tables give the same bytes.

    Args:
        tables: evaluations, dispatches and aggregations of one run.
        path: of the file.
    """
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as text,
    ):
        text.write('{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(events(tables)):
            text.write(",\n" if number else "")
            text.write(json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
        text.write("\n]}\n")


def events(tables: Mapping[str, pd.DataFrame]) -> Iterator[Event]:
    """The events of a run, one by one: names of the tracks first, then the server's, then the devices'."""
    evaluations = tables["evaluations"]
    end_s = float(evaluations["time_s"].max()) if len(evaluations) else math.nan
    return chain(
        _server_names(),
        _device_names(tables["dispatches"]),
        _aggregations(tables["aggregations"]),
        _evaluations(evaluations),
        chain.from_iterable(_visit(row, end_s) for row in _rows(tables["dispatches"])),
    )


def _server_names() -> Iterator[Event]:
    yield _name("process_name", _SERVER, 0, "server")
    yield _name("thread_name", _SERVER, _AGGREGATIONS, "aggregations")
    yield _name("thread_name", _SERVER, _EVALUATIONS, "evaluations")
    yield _name("process_name", _DEVICES, 0, "devices")


def _device_names(dispatches: pd.DataFrame) -> Iterator[Event]:
    devices = dispatches[["device", "profile"]].drop_duplicates("device").sort_values("device")
    for row in _rows(devices):
        device, thread = row["device"], _FIRST_DEVICE + row["device"]
        yield _name("thread_name", _DEVICES, thread, f"{row['profile']} #{device}")
        yield {
            "ph": "M",
            "name": "thread_sort_index",
            "pid": _DEVICES,
            "tid": thread,
            "args": {"sort_index": device},
        }


def _name(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _aggregations(table: pd.DataFrame) -> Iterator[Event]:
    for row in _rows(table):
        yield _instant(_AGGREGATIONS, f"version {row['version']}", row)


def _evaluations(table: pd.DataFrame) -> Iterator[Event]:
    for row in _rows(table):
        accuracy = row["accuracy"]
        if accuracy is None:
            yield _instant(_EVALUATIONS, "evaluation", row)
            continue
        yield _instant(_EVALUATIONS, f"accuracy {accuracy:.3f}", row)
        yield {
            "ph": "C",
            "name": "accuracy",
            "pid": _SERVER,
            "tid": _EVALUATIONS,
            "ts": _microseconds(row["time_s"]),
            "args": {"accuracy": accuracy},
        }


def _instant(thread: int, name: str, row: Mapping[str, Any]) -> Event:
    """An event of the server that carries its row, as far as it is known."""
    return {
        "ph": "i",
        "s": "t",
        "name": name,
        "pid": _SERVER,
        "tid": thread,
        "ts": _microseconds(row["time_s"]),
        "args": {key: value for key, value in row.items() if value is not None},
    }


def _visit(row: Mapping[str, Any], end_s: float) -> Iterator[Event]:
    """The phases of one visit, end to end; one that was cut off lasts until the visit, or the run, ended."""
    outcome = row["outcome"]
    ended_s = end_s if row["finished_s"] is None else row["finished_s"]
    args = {key: row[key] for key in ("dispatch", "submodel", "outcome", "bytes_down", "bytes_up")}
    begin_s = row["dispatched_s"]
    for phase in PHASES:
        lasted_s = row[f"{phase}_s"]
        phase_ended_s = ended_s if lasted_s is None else begin_s + lasted_s
        if lasted_s is None and not phase_ended_s > begin_s:
            return
        begin, end = _microseconds(begin_s), _microseconds(phase_ended_s)
        yield {
            "ph": "X",
            "cat": phase,
            "name": phase if outcome == "aggregated" else f"{phase} ({outcome})",
            "pid": _DEVICES,
            "tid": _FIRST_DEVICE + row["device"],
            "ts": begin,
            "dur": end - begin,
            "args": args,
        }
        if lasted_s is None:
            return
        begin_s = phase_ended_s


def _microseconds(time_s: float) -> int:
    return round(time_s * 1e6)


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows as plain values, None where JSON has none; some at a time, to keep memory small."""
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[start : start + _ROWS_AT_ONCE].astype(object)
        known = part.where(part.notna() & ~part.isin([math.inf, -math.inf]), None)
        columns = [str(name) for name in known]
        yield from (dict(zip(columns, row, strict=True)) for row in known.itertuples(index=False, name=None))
