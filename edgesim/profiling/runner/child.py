"""One graph in a process of its own: one session, warm-up, repeats, peak memory.

onnxruntime and numpy are imported late: the cores that they find must be those that they may use, and a limit
of memory holds for them too.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from edgesim.profiling.runner import channel, energy, host, reading, repeats


def main() -> None:
    """Time the graph that the parent asks for."""
    parent = os.getppid()
    job = channel.question()
    with channel.answering() as answer:
        _prepare(job)
        answer(_timed(job, _end_with(parent)))


def _prepare(job: dict[str, Any]) -> None:
    """The cores and the memory that everything that follows may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["affinity"])
    if job["memory_limit_bytes"] is not None:
        import resource

        # Not RLIMIT_AS: a refused reservation of addresses can hang inside BLAS.
        resource.setrlimit(resource.RLIMIT_DATA, (job["memory_limit_bytes"],) * 2)
    if sys.platform == "linux":
        with open("/proc/self/oom_score_adj", "w") as stream:  # if memory runs out, this process goes first
            stream.write("1000")


def _timed(job: dict[str, Any], between: Callable[[], None]) -> dict[str, Any]:
    import onnxruntime

    from edgesim.profiling.runner import fills

    baseline_bytes = host.peak_bytes()
    model = reading.read_verified(job["bundle"], job["file"], job["sha256"], job["size_bytes"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    for kind in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{kind}.allow_spinning", "1" if job["spinning"] else "0")
    before = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=job["providers_requested"])
    session_s, session_bytes = time.perf_counter() - before, host.peak_bytes()
    del model
    feeds = {each["name"]: fills.draw(each["fill"], each["shape"], each["dtype"]) for each in job["inputs"]}
    return {
        **_measured(lambda: session.run(None, feeds), between, job),
        "session_s": session_s,
        "peak_bytes": host.peak_bytes(),
        "session_bytes": session_bytes,
        "baseline_bytes": baseline_bytes,
        "providers": session.get_providers(),
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _measured(run: Callable[[], object], between: Callable[[], None], job: dict[str, Any]) -> dict[str, Any]:
    meter = energy.find(job["power_file"])
    least_s = repeats.LEAST_S if meter is None else energy.LEAST_S
    budget = repeats.Budget(job["budget_s"], job["precision"], least_s)
    begin = time.perf_counter()
    first_s = repeats.warm_up(run, budget)
    if meter is not None:
        meter.start()
    seconds = repeats.repeat(run, budget, time.perf_counter() - begin, between)
    joules = None if meter is None else meter.stop()
    median = repeats.median(seconds)
    return {
        "seconds": {
            "median": median.value,
            "low": median.low,
            "high": median.high,
            "p90": repeats.quantile(seconds, 0.9),
            "p99": repeats.quantile(seconds, 0.99),
            "first": first_s,
            "mean": math.fsum(seconds) / len(seconds),
        },
        "repeats": len(seconds),
        "converged": median.within(budget.precision),
        "energy_j_per_run": None if joules is None else joules / len(seconds),
        **host.conditions(job["affinity"][0]),
    }


def _end_with(parent: int) -> Callable[[], None]:
    """What ends this process once its parent, killed without a chance to say so, is gone."""

    def check() -> None:
        if os.getppid() != parent:
            sys.exit("the runner has ended")

    return check
