"""The file of results: one JSON object per line, on disk before the next graph begins."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from edgesim.profiling.runner.errors import BadTimings, NotWritten

FORMAT = 1
COMPARED = (  # what two sessions must have in common for their seconds to stand in one file
    "format",
    "manifest_sha256",
    "machine",
    "cpu",
    "onnxruntime",
    "threads",
    "affinity",
    "spinning",
    "providers_requested",
    "precision",
    "budget_s",
    "memory_limit_bytes",
    "emulates",
)

Line = dict[str, Any]
Key = tuple[str, str]  # shape hash, and step or inference


@dataclass(frozen=True)
class Timings:
    """What a file of results says.

    Attributes:
        hosts: one line per session that wrote to it.
        results: the line of each (shape hash, "step" or "inference"); a timing takes the place of a failure.
            Of several timings it is the fastest, as other work on the machine can only slow it; `passes` in
            it has the medians of all of them, in seconds.
        whole_bytes: length of the file without a torn last line.
    """

    hosts: tuple[Line, ...]
    results: dict[Key, Line]
    whole_bytes: int

    @property
    def timed(self) -> dict[Key, int]:
        """The graphs whose seconds are known, and how often each was timed."""
        return {key: len(line["passes"]) for key, line in self.results.items() if line["kind"] == "timing"}


def read(path: str) -> Timings:
    """The results in a file; a last line that was torn by a crash is left out.

    Raises:
        BadTimings: it cannot be read, or some other line is none of this runner's.
    """
    try:
        with open(path, "rb") as stream:
            raw = stream.read()
    except OSError as error:
        raise BadTimings(f"{path}: cannot be read: {error.strerror}") from error
    whole = raw[: raw.rfind(b"\n") + 1]
    hosts: list[Line] = []
    results: dict[Key, Line] = {}
    passes: dict[Key, list[float]] = {}
    for number, text in enumerate(whole.splitlines(), 1):
        line = _parsed(text, f"{path}:{number}")
        if line["kind"] == "host":
            hosts.append(line)
            continue
        before = results.get(_key(line))
        if line["kind"] == "timing":
            passes.setdefault(_key(line), []).append(_median_s(line))
        if before is None or before["kind"] == "failure" or _is_faster(line, before):
            results[_key(line)] = line
    if results and not hosts:
        raise BadTimings(f"{path}: the line of the host is missing; copy the file again")
    for key, medians_s in passes.items():
        results[key] = {**results[key], "passes": medians_s}
    return Timings(tuple(hosts), results, len(whole))


def _is_faster(line: Line, before: Line) -> bool:
    return line["kind"] == "timing" and _median_s(line) < _median_s(before)


def _median_s(line: Line) -> float:
    return float(line["seconds"]["median"])


class Log:
    """A file of results that grows.

    Args:
        path: of the file; made if it is not there, continued if it is.
        host: the line of this session's host.

    Attributes:
        timed: the graphs that the file had seconds of before, and how often.

    Raises:
        BadTimings: the file holds other timings, or something else, or cannot be written.
    """

    def __init__(self, path: str, host: Line) -> None:
        self._path = path
        before = read(path) if os.path.exists(path) else Timings((), {}, 0)
        for earlier in before.hosts:
            _refuse_others(path, earlier, host)
        self.timed = before.timed
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.ftruncate(self._file, before.whole_bytes)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError as error:
            raise BadTimings(f"{path}: cannot be written: {error.strerror}; see --out") from error
        self.append(host)

    def append(self, line: Line) -> None:
        """Write one line; it is on disk when this returns.

        Raises:
            NotWritten: the disk is full, or gone.
        """
        raw = (json.dumps(line, sort_keys=True, allow_nan=False) + "\n").encode()
        try:
            while raw:
                raw = raw[os.write(self._file, raw) :]
            os.fsync(self._file)
        except OSError as error:
            raise NotWritten(f"{self._path}: a result cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _refuse_others(path: str, earlier: Line, host: Line) -> None:
    for key in COMPARED:
        if earlier.get(key) != host[key]:
            raise BadTimings(
                f"{path}: holds timings with {key} {earlier.get(key)}, now it is {host[key]}; "
                "write to another file with --out (edgesim profile: --timings)"
            )


def _key(line: Line) -> Key:
    return line["shape"], line["graph"]


def _parsed(text: bytes, place: str) -> Line:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise BadTimings(f"{place}: is not JSON ({error}); is this a file of timings?") from error
    kind = line.get("kind") if isinstance(line, dict) else None
    needed = {"host": set(), "timing": {"shape", "graph", "seconds"}, "failure": {"shape", "graph"}}
    if kind in needed and needed[kind] <= line.keys():
        return dict(line)
    raise BadTimings(f"{place}: is no line of a timing; is this a file of timings?")
