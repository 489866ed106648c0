"""The loop from scenario to device profile: seconds of its commands, size of its bundle, errors of its fits.

Commands are whole processes, imports included. Steps are timed on one thread.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._result import Result

SAMPLES = 64


@dataclass(frozen=True)
class Case:
    """Twelve training steps of a network.

    Attributes:
        model: its name.
        shape: of a sample.
        batch: samples of a step.
        small_batch: of further steps at these depths.
        depths: of FedPMT.
        small_depths: at the small batch.
    """

    model: str
    shape: tuple[int, ...]
    batch: int
    depths: tuple[int, ...]
    small_batch: int = 10
    small_depths: tuple[int, ...] = ()


CASES = (
    Case("lenet", (1, 28, 28), 32, (1, 2, 3, 4), 10, (1, 3, 5)),
    Case("fedavg_cnn", (1, 28, 28), 32, (1, 2, 3), 10, (1, 2, 3, 4)),
    Case("resnet18", (3, 32, 32), 8, (1, 4, 7, 10, 13, 16, 19)),
)
WIDTHS = (1, 0.5, 0.25, 0.125, 0.0625)


def measure() -> Iterator[Result]:
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            yield from _results(case, Path(folder))


def _results(case: Case, folder: Path) -> Iterator[Result]:
    _write(case, folder)
    bundle = folder / "bundle.zip"
    export_s, exported = _run(folder, "export", "scenario.yaml", "--out", bundle.name)
    profile_s, profiled = _run(folder, "profile", bundle.name, "--name", "here", "--threads", "1")
    assert len(exported["shapes"]) == len(profiled["table"]) == len(case.depths + case.small_depths + WIDTHS)
    if case.model == "lenet":
        yield Result("12 LeNet shapes exported", 10.0, export_s, 1.0)
        yield Result("12 LeNet shapes timed", 30.0, profile_s, 1.0)
        yield Result("their bundle", 100e3, bundle.stat().st_size, 1.0, "B")
    if case.model == "resnet18":
        yield Result("12 ResNet-18 shapes exported", 30.0, export_s, 1.0)
    shape, width = (profiled["fit"][f"leave_{what}_out"] for what in ("one", "a_width"))
    yield Result(f"{case.model}: fit to other shapes, median error", 1.0, shape["median"], 0.05, "")
    yield Result(f"{case.model}: likewise, nine in ten", 1.0, shape["p90"], 0.15, "")
    yield Result(f"{case.model}: fit to other sizes, median error", 1.0, width["median"], 0.1, "")


def _run(folder: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "edgesim", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, json.loads(done.stdout)


def _write(case: Case, folder: Path) -> None:
    """The scenario, and random samples for it."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((SAMPLES, *case.shape), dtype=np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(SAMPLES) % 10)
    variants = {
        **_depths(case.batch, case.depths),
        **_depths(case.small_batch, case.small_depths),
        **{f"w{number}": {"submodel": {"name": "heterofl", "width": w}} for number, w in enumerate(WIDTHS)},
    }
    scenario = {
        "name": "bench",
        "model": case.model,
        "dataset": {"name": "files", "path": "data.npz"},
        "fleet": [{"profile": "raspberry-pi-4", "count": 1}],
        "coordination": {"name": "synchronous", "clients_per_round": 1},
        "training": {"batch_size": case.batch, "learning_rate": 0.1},
        "stop": {"rounds": 1},
        "variants": variants,
    }
    (folder / "scenario.yaml").write_text(json.dumps(scenario))


def _depths(batch: int, depths: Sequence[int]) -> dict[str, Any]:
    return {
        f"d{depth}-b{batch}": {
            "submodel": {"name": "fedpmt", "depth": depth},
            "training": {"batch_size": batch, "learning_rate": 0.1},
        }
        for depth in depths
    }
