"""Of the quick start's wall time, imports aside, what is neither training nor evaluation: at most 5 %."""

import tempfile
import time
from pathlib import Path

from edgesim.campaign import run_one
from edgesim.task import Options
from tests.benchmarks._result import Result


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        # A round first: what is imported on first use is no overhead of a run.
        run_one("quickstart", "fedavg", None, Options(Path(folder, "one"), ("stop.rounds=1",), quiet=True))
        started = time.perf_counter()
        _, result = run_one("quickstart", "fedavg", None, Options(Path(folder), quiet=True))
        whole_s = time.perf_counter() - started
    spent = result.summary["wall_s"]
    outside_s = whole_s - spent["training"] - spent["evaluation"]
    return [Result("quick start, outside of training", whole_s, outside_s, target=0.05)]
