"""Bundles and timings as a board's runner would leave them, with shapes named as edgesim names them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesim.profiling.runner.timings import Timings, read
from tests.profiling import bundles

HALF, WHOLE, BOTH = "aaaa111122223333", "bbbb111122223333", "cccc111122223333"
QUICK = ("--graphs", "step", "--budget", "0.3", "--passes", "1")


def bundle(at: Path) -> Path:
    """A bundle of two shapes, of which a third one runs either, as a folder."""
    manifest, files = bundles.contents()
    for shape, name in zip(manifest["shapes"], (HALF, WHOLE), strict=True):
        shape["shape"] = name
    mixed = {"shape": BOTH, "labels": ["both"], "batch": 4, "runs": [[0.25, HALF], [0.75, WHOLE]]}
    return bundles.folder(at, {**manifest, "edgesim": "0.1", "torch": "2.9", "mixed": [mixed]}, files)


HOST: dict[str, Any] = {
    "kind": "host",
    "format": 1,
    "bundle": "tiny.zip",
    "scenario": "tiny",
    "edgesim": "0.1",
    "torch": "2.9",
    "mixed": None,
    "started": "2026-01-02T03:04:05+00:00",
    "machine": "aarch64",
    "system": "Linux",
    "onnxruntime": "1.20.1",
    "board": "Pea Pod 4",
    "cpu": None,
    "cores": 4,
    "memory_bytes": 4_000_000_000,
    "threads": 4,
    "emulates": None,
}


def timing(shape: str, seconds: float, *operators: tuple[str, int, int, int], **given: Any) -> dict[str, Any]:
    """The line of a training step with these operators: kind, FLOPs, bytes, calls."""
    keys = ("kind", "flops", "bytes", "calls")
    spread = {"median": seconds, "low": 0.99 * seconds, "high": 1.02 * seconds, "mean": seconds}
    return {
        "kind": "timing",
        "graph": "step",
        "shape": shape,
        "labels": [f"label {shape[:4]}"],
        "batch": 8,
        "operators": [dict(zip(keys, operator, strict=True)) for operator in operators],
        "seconds": spread,
        "peak_bytes": 50_000_000,
        "energy_j_per_run": None,
        **given,
    }


def timings(at: Path, lines: Sequence[Mapping[str, Any]], **host: Any) -> Timings:
    """These lines after that of the host, written to a file and read."""
    at.write_text("".join(json.dumps(line) + "\n" for line in ({**HOST, **host}, *lines)), encoding="utf-8")
    return read(str(at))
