"""Times the graphs of a bundle one after another, each in a child process, each result on disk at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edgesim.profiling.runner import channel, host, timings
from edgesim.profiling.runner.errors import ChildFailed, Unusable
from edgesim.profiling.runner.progress import Progress, brief
from edgesim.profiling.runner.reading import Bundle, Graph

CARRIED = ("scenario", "edgesim", "torch", "mixed")  # from the manifest into the line of the host
PROBE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Settings:
    """How the graphs are timed.

    Attributes:
        budget_s: seconds for one graph, warm-up included.
        precision: how near the 95 % interval of the median must be to it, relative.
        timeout_s: after which a graph counts as hanging.
        threads: that compute one operator.
        affinity: the cores that they may run on.
        spinning: whether they wait for work busily.
        providers: of onnxruntime, in the order of preference.
        memory_limit_bytes: that the data of a child process may take; None for no limit.
        power_file: with the power of the board in microwatts; None to use RAPL where it is.
        emulates: the device whose limits these settings imitate; None where they are the machine's own.
    """

    budget_s: float
    precision: float
    timeout_s: float
    threads: int
    affinity: tuple[int, ...]
    spinning: bool
    providers: tuple[str, ...]
    memory_limit_bytes: int | None
    power_file: str | None
    emulates: dict[str, Any] | None


def host_line(bundle: Bundle, settings: Settings) -> timings.Line:
    """The line that says what was measured after it, where and how: a profile is made without the bundle.

    Raises:
        Unusable: numpy or onnxruntime cannot be used here.
        ChildFailed: the process that looks for them crashed.
    """
    found = channel.ask("probe", None, PROBE_TIMEOUT_S, lambda: None)
    if "problem" in found:
        raise Unusable(found["problem"])
    return {
        "kind": "host",
        "format": timings.FORMAT,
        "bundle": os.path.basename(bundle.path),
        "manifest_sha256": bundle.sha256,
        **{key: bundle.manifest.get(key) for key in CARRIED},
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **host.describe(),
        **found,
        **host.conditions(settings.affinity[0]),
        "affinity": list(settings.affinity),
        "threads": settings.threads,
        "spinning": settings.spinning,
        "providers_requested": list(settings.providers),
        "precision": settings.precision,
        "budget_s": settings.budget_s,
        "memory_limit_bytes": settings.memory_limit_bytes,
        "emulates": settings.emulates,
    }


def time_graphs(
    bundle: Bundle, graphs: Sequence[Graph], settings: Settings, log: timings.Log, progress: Progress
) -> list[Graph]:
    """Time graphs; gives those that failed: crashed, hung, ran out of memory. The others go on."""
    failures = []
    for graph in graphs:
        progress.working(graph.title)
        line = {"shape": graph.shape, "graph": graph.kind}
        try:
            found = _time(bundle, graph, settings, progress)
        except ChildFailed as error:
            failures.append(graph)
            log.append({"kind": "failure", **line, "message": str(error)})
            progress.finished(graph.title, f"FAILED: {error}")
            continue
        log.append({"kind": "timing", **line, **_known(graph), "threads": settings.threads, **found})
        progress.finished(graph.title, _summary(found, settings))
    return failures


def _known(graph: Graph) -> dict[str, Any]:
    return {
        "labels": graph.labels,
        "batch": graph.batch,
        "operators": graph.operators,
        "sha256": graph.sha256,
    }


def _time(bundle: Bundle, graph: Graph, settings: Settings, progress: Progress) -> dict[str, Any]:
    job = {
        "bundle": bundle.path,
        "file": graph.file,
        "sha256": graph.sha256,
        "size_bytes": graph.size_bytes,
        "inputs": graph.inputs,
        "affinity": settings.affinity,
        "threads": settings.threads,
        "spinning": settings.spinning,
        "providers_requested": settings.providers,
        "budget_s": settings.budget_s,
        "precision": settings.precision,
        "memory_limit_bytes": settings.memory_limit_bytes,
        "power_file": settings.power_file,
    }
    found: dict[str, Any] = channel.ask(
        "child", job, settings.timeout_s, lambda: progress.working(graph.title)
    )
    return found


def _summary(found: dict[str, Any], settings: Settings) -> str:
    seconds = found["seconds"]
    far = max(seconds["high"] - seconds["median"], seconds["median"] - seconds["low"])
    text = f"{brief(seconds['median'])} +- {far / seconds['median']:.1%}, {found['repeats']} runs"
    if not found["converged"]:
        text += f" (not within {settings.precision:.1%})"
    missing = [name for name in settings.providers if name not in found["providers"]]
    return text + (f" (without {', '.join(missing)}, which is not here)" if missing else "")
