"""The timeline: the rules of the Trace Event format, and the golden run phase by phase."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgesim.results import timeline
from tests.results.golden_run import all_tables, table, timing_only

TIMESTAMP = {"type": "integer", "minimum": 0}
TRACE_EVENT_FORMAT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "traceEvents": {"type": "array", "items": {"$ref": "#/$defs/event"}},
    },
    "$defs": {
        "event": {
            "type": "object",
            "required": ["ph", "name", "pid", "tid"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "cat": {"type": "string"},
                "pid": {"type": "integer", "minimum": 1},
                "tid": {"type": "integer"},
                "args": {"type": "object"},
            },
            "oneOf": [
                {"$ref": "#/$defs/complete"},
                {"$ref": "#/$defs/instant"},
                {"$ref": "#/$defs/counter"},
                {"$ref": "#/$defs/metadata"},
            ],
        },
        "complete": {
            "properties": {"ph": {"const": "X"}, "ts": TIMESTAMP, "dur": TIMESTAMP},
            "required": ["ts", "dur"],
        },
        "instant": {
            "properties": {"ph": {"const": "i"}, "ts": TIMESTAMP, "s": {"enum": ["g", "p", "t"]}},
            "required": ["ts", "s"],
        },
        "counter": {
            "properties": {
                "ph": {"const": "C"},
                "ts": TIMESTAMP,
                "args": {"minProperties": 1, "additionalProperties": {"type": "number"}},
            },
            "required": ["ts", "args"],
        },
        "metadata": {
            "properties": {"ph": {"const": "M"}},
            "required": ["args"],
            "oneOf": [
                {
                    "properties": {
                        "name": {"enum": ["process_name", "thread_name"]},
                        "args": {"required": ["name"], "properties": {"name": {"type": "string"}}},
                    }
                },
                {
                    "properties": {
                        "name": {"enum": ["process_sort_index", "thread_sort_index"]},
                        "args": {
                            "required": ["sort_index"],
                            "properties": {"sort_index": {"type": "integer"}},
                        },
                    }
                },
            ],
        },
    },
}
"""What "Trace Event Format" (Duca and Sinclair, 2016) asks of the kinds of events that are used here."""


def tracks() -> dict[tuple[int, int], str]:
    return {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in timeline.events(all_tables())
        if event["name"] == "thread_name"
    }


def phases_of(track: str) -> list[tuple[str, float, float]]:
    """Name, begin and end in seconds of what a track shows."""
    names = tracks()
    return [
        (event["name"], event["ts"] / 1e6, (event["ts"] + event["dur"]) / 1e6)
        for event in timeline.events(all_tables())
        if event["ph"] == "X" and names[event["pid"], event["tid"]] == track
    ]


@pytest.mark.parametrize("tables", [all_tables(), timing_only().tables], ids=["full", "timing only"])
def test_the_file_follows_the_trace_event_format(tables: Any, tmp_path: Path) -> None:
    timeline.write(tables, tmp_path / "timeline.json.gz")
    trace = json.loads(gzip.decompress((tmp_path / "timeline.json.gz").read_bytes()))
    jsonschema.validate(trace, TRACE_EVENT_FORMAT)


def test_every_device_that_was_sent_out_has_one_track_named_after_it() -> None:
    names = [name for name in tracks().values() if "#" in name]
    assert names == ["fast #0", "fast #1", "slow #2", "tiny #3"]


def test_a_device_that_was_never_sent_out_has_no_track() -> None:
    without = {**all_tables(), "dispatches": all_tables()["dispatches"].iloc[[0]]}
    named = [event["args"]["name"] for event in timeline.events(without) if event["name"] == "thread_name"]
    assert named == ["aggregations", "evaluations", "fast #0"]


def test_tracks_have_numbers_of_their_own_over_all_processes() -> None:
    threads = [thread for _, thread in tracks()]
    assert len(set(threads)) == len(threads)


def test_an_aggregated_visit_shows_its_three_phases_end_to_end() -> None:
    assert phases_of("fast #1") == [("download", 5.0, 6.0), ("compute", 6.0, 8.5), ("upload", 8.5, 9.5)]


def test_a_late_visit_is_named_late() -> None:
    assert phases_of("slow #2") == [
        ("download (late)", 0.0, 2.0),
        ("compute (late)", 2.0, 6.0),
        ("upload (late)", 6.0, 8.0),
    ]


def test_a_visit_out_of_memory_ends_after_its_download() -> None:
    assert phases_of("tiny #3") == [("download (out_of_memory)", 0.0, 3.0)]


def test_a_phase_that_was_cut_off_lasts_until_the_visit_or_the_run_ended() -> None:
    assert phases_of("fast #0")[3:] == [
        ("download (dropped)", 5.0, 6.0),
        ("compute (dropped)", 6.0, 7.5),
        ("download (unfinished)", 8.0, 9.0),
        ("compute (unfinished)", 9.0, 10.0),
    ]


def test_phases_carry_what_identifies_the_visit() -> None:
    late = next(event for event in timeline.events(all_tables()) if event["name"] == "upload (late)")
    assert late["cat"] == "upload"
    assert late["args"] == {
        "dispatch": 1,
        "submodel": "half",
        "outcome": "late",
        "bytes_down": 100,
        "bytes_up": 50,
    }


def test_neighbouring_phases_never_overlap_though_their_seconds_have_no_exact_microseconds() -> None:
    thirds = [1 / 3] * 6
    tables = {
        **all_tables(),
        "dispatches": table("dispatches", download_s=thirds, compute_s=thirds, upload_s=thirds),
    }
    visits: dict[int, list[tuple[int, int]]] = {}
    for event in timeline.events(tables):
        if event["ph"] == "X":
            interval = (event["ts"], event["ts"] + event["dur"])
            visits.setdefault(event["args"]["dispatch"], []).append(interval)
    for intervals in visits.values():
        assert len(intervals) == 3
        assert all(end == begin for (_, end), (begin, _) in pairwise(intervals))


def test_the_server_shows_versions_evaluations_and_an_accuracy_counter() -> None:
    server = [event for event in timeline.events(all_tables()) if event["ph"] in "iC"]
    assert [event["name"] for event in server if event["ph"] == "i"] == [
        "version 1",
        "version 2",
        "accuracy 0.100",
        "accuracy 0.600",
        "accuracy 0.850",
    ]
    counted = [(event["ts"], event["args"]) for event in server if event["ph"] == "C"]
    assert counted == [
        (0, {"accuracy": 0.1}),
        (5_000_000, {"accuracy": 0.6}),
        (10_000_000, {"accuracy": 0.85}),
    ]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.gz", "second.gz"):
        timeline.write(all_tables(), tmp_path / name)
    assert (tmp_path / "first.gz").read_bytes() == (tmp_path / "second.gz").read_bytes()
