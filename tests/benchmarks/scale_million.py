"""A million devices that come and go, 1,000 per round: start, peak memory, rounds against 10,000 devices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.benchmarks._result import Result

GIB = 2**30


def measure() -> Iterator[Result]:
    few, many = _measured(10_000), _measured(1_000_000)
    yield Result("start of a million devices, and 15 s", 15.0, many["start_s"], target=1.0)
    yield Result("peak memory of a million, and 1 GiB", GIB, many["peak_bytes"], target=1.0, unit="B")
    yield Result("a round of a million, and of 10,000", few["round_s"], many["round_s"], target=1.3)


def _measured(devices: int) -> dict[str, float]:
    """In a process of its own, whose peak is nobody else's."""
    command = [sys.executable, "-m", "tests.benchmarks._fleet", str(devices)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
