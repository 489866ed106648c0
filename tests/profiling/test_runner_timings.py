"""The file of results survives crashes and never mixes what must not be mixed."""

from pathlib import Path
from typing import Any

import pytest

from edgesim.profiling.runner import timings
from edgesim.profiling.runner.errors import BadTimings, NotWritten
from edgesim.profiling.runner.timings import Log

HOST = {"kind": "host", **dict.fromkeys(timings.COMPARED), "format": 1, "threads": 2}


def timing(shape: str, median: float = 1.0) -> dict[str, Any]:
    return {"kind": "timing", "shape": shape, "graph": "step", "seconds": {"median": median}}


def failure(shape: str) -> dict[str, Any]:
    return {"kind": "failure", "shape": shape, "graph": "step", "message": "crashed"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file with one session and one timing."""
    path = str(tmp_path / "timings.jsonl")
    log = Log(path, HOST)
    log.append(timing("a"))
    log.close()
    return path


def test_what_was_written_is_read(file: str) -> None:
    found = timings.read(file)
    assert found.hosts == (HOST,)
    assert found.results == {("a", "step"): {**timing("a"), "passes": [1.0]}}
    assert set(found.timed) == {("a", "step")}


def test_a_torn_last_line_is_left_out_and_overwritten(file: str) -> None:
    with open(file, "a") as stream:
        stream.write('{"kind": "timing", "shape": "b", "gra')
    assert set(timings.read(file).timed) == {("a", "step")}
    log = Log(file, HOST)
    assert set(log.timed) == {("a", "step")}
    log.append(timing("b"))
    log.close()
    assert set(timings.read(file).timed) == {("a", "step"), ("b", "step")}


def test_every_tear_leaves_whole_lines(file: str, tmp_path: Path) -> None:
    raw = Path(file).read_bytes()
    torn = tmp_path / "torn.jsonl"
    for length in range(len(raw)):
        torn.write_bytes(raw[:length])
        assert timings.read(str(torn)).results == {}


def test_a_failure_is_tried_again_and_a_timing_takes_its_place(file: str) -> None:
    log = Log(file, HOST)
    log.append(failure("b"))
    log.close()
    log = Log(file, HOST)
    assert set(log.timed) == {("a", "step")}
    log.append(timing("b"))
    log.append(failure("a"))
    log.close()
    kinds = {shape: line["kind"] for (shape, _), line in timings.read(file).results.items()}
    assert kinds == {"a": "timing", "b": "timing"}


@pytest.mark.parametrize("key", timings.COMPARED)
def test_timings_of_another_bundle_machine_or_setting_are_refused(file: str, key: str) -> None:
    with pytest.raises(BadTimings, match=f"holds timings with {key} .*; write to another file with --out"):
        Log(file, {**HOST, key: "other"})
    assert len(timings.read(file).hosts) == 1


@pytest.mark.parametrize("line", ["notes", "[]", '{"kind": "timing", "shape": "b"}', '{"kind": "note"}'])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, line: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(BadTimings, match=r"notes.txt:1: .*is this a file of timings\?"):
        Log(str(path), HOST)
    assert path.read_text() == f"{line}\n"


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTimings, match="cannot be written: No such file or directory; see --out"):
        Log(str(tmp_path / "none" / "timings.jsonl"), HOST)


def test_a_result_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "timings.jsonl"), HOST)
    log.close()
    with pytest.raises(NotWritten, match="a result cannot be written: Bad file descriptor"):
        log.append(timing("a"))


def test_of_several_passes_the_fastest_counts_and_all_are_told(tmp_path: Path) -> None:
    file = str(tmp_path / "t.jsonl")
    log = timings.Log(file, HOST)
    for median in (1.5, 1.0, 2.0):
        log.append(timing("a", median))
    log.append({"kind": "failure", "shape": "a", "graph": "step", "message": "killed"})
    log.close()
    found = timings.read(file)
    line = found.results["a", "step"]
    assert (line["seconds"]["median"], line["passes"]) == (1.0, [1.5, 1.0, 2.0])
    assert found.timed == {("a", "step"): 3}
