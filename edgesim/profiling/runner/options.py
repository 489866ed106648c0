"""The options of the runner, and what they mean for this bundle on this machine."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import sys
from typing import Any

from edgesim.profiling.runner import host
from edgesim.profiling.runner.campaign import Settings
from edgesim.profiling.runner.errors import Unusable
from edgesim.profiling.runner.reading import KINDS, Bundle, Graph

TIMEOUT_BUDGETS = 10  # a graph hangs when it takes that many of its budgets, and no less than
LEAST_TIMEOUT_S = 600.0


def parser(bundle: str) -> argparse.ArgumentParser:
    """The parser of the command line of the bundle at this path."""
    made = argparse.ArgumentParser(
        prog=os.path.basename(bundle),
        description="Times the graphs of this bundle on this machine. Needs numpy and onnxruntime.",
        epilog="Exit codes: 0 all graphs are timed, 1 some failed, 2 the input is wrong, 130 interrupted.",
    )
    _add_what(made)
    _add_how(made)
    return made


def _add_what(made: argparse.ArgumentParser) -> None:
    """Which graphs, and where the results go."""
    add = made.add_argument
    out_help = "results; an earlier session is continued (default: %(default)s)"
    add("--out", default="timings.jsonl", metavar="FILE", help=out_help)
    add("--list", action="store_true", help="show what is in the bundle, and end")
    add("--only", action="append", default=[], metavar="SHAPE|LABEL", help="these alone; repeatable")
    add("--graphs", choices=[*KINDS, "both"], default="both", help="default: %(default)s")


def _add_how(made: argparse.ArgumentParser) -> None:
    """How they are timed."""
    add = made.add_argument
    budget_help = "for each graph, at most (default: %(default)g)"
    add("--budget", type=_positive, default=60.0, metavar="SECONDS", help=budget_help)
    passes_help = (
        "times that each graph is timed, all of them in turn; the fastest counts (default: %(default)s)"
    )
    add("--passes", type=_count, default=3, metavar="N", help=passes_help)
    precision_help = "end when the 95 %% interval of the median is this near (default: %(default)g)"
    add("--precision", type=_positive, default=0.03, metavar="SHARE", help=precision_help)
    timeout_help = f"a graph that takes longer has failed (default: {TIMEOUT_BUDGETS} budgets)"
    add("--timeout", type=_positive, metavar="SECONDS", help=timeout_help)
    add("--threads", type=_count, metavar="N", help="default: as many as cores")
    add("--cores", type=_cores, metavar="0,1", help="default: all that the system allows")
    add("--spin", action="store_true", help="let threads wait busily")
    providers_help = "of onnxruntime, by preference (default: %(default)s)"
    add("--providers", type=_names, default="CPUExecutionProvider", metavar="A,B", help=providers_help)
    add("--memory-limit", type=_count, metavar="BYTES", help="for the data of the process of a graph")
    add("--power-file", metavar="PATH", help="power in microwatts, as power1_input of hwmon")


def chosen(bundle: Bundle, given: argparse.Namespace) -> list[Graph]:
    """The graphs of the bundle that the options ask for.

    Raises:
        Unusable: `--only` names something that is not in it.
    """
    kinds = KINDS if given.graphs == "both" else (given.graphs,)
    found = [graph for graph in bundle.graphs if graph.kind in kinds]
    for name in given.only:
        if not any(_is(graph, name) for graph in found):
            labels = sorted({label for graph in found for label in graph.labels})
            near = difflib.get_close_matches(name, labels, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else "; see --list"
            raise Unusable(f'--only: no shape or label "{name}" in this bundle{hint}')
    return [graph for graph in found if not given.only or any(_is(graph, name) for name in given.only)]


def settings(given: argparse.Namespace, emulates: dict[str, Any] | None) -> Settings:
    """How the options say that graphs are timed on this machine.

    Raises:
        Unusable: this machine cannot do it so.
    """
    allowed = host.cores()
    affinity = given.cores or allowed
    if not set(affinity) <= set(allowed):
        raise Unusable(f"--cores: this process may run on the cores {allowed} alone")
    if given.cores and not hasattr(os, "sched_setaffinity"):
        raise Unusable("--cores: this system cannot bind a process to cores; leave it out")
    if given.memory_limit and sys.platform != "linux":
        raise Unusable("--memory-limit: only Linux limits the data of a process; leave it out")
    if given.power_file and host.number("", given.power_file) is None:
        raise Unusable(f"--power-file: {given.power_file} holds no whole number of microwatts")
    return Settings(
        budget_s=given.budget,
        precision=given.precision,
        timeout_s=given.timeout or max(LEAST_TIMEOUT_S, TIMEOUT_BUDGETS * given.budget),
        threads=given.threads or len(affinity),
        affinity=tuple(affinity),
        spinning=given.spin,
        providers=tuple(given.providers),
        memory_limit_bytes=given.memory_limit,
        power_file=given.power_file,
        emulates=emulates,
    )


def _is(graph: Graph, name: str) -> bool:
    return name == graph.shape or name in graph.labels


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _cores(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of cores such as 0,1")
    return sorted({int(part) for part in parts})


def _names(text: str) -> list[str]:
    return text.split(",")
