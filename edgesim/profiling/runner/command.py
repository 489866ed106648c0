"""The command line of the runner."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from edgesim.profiling.runner import campaign, channel, host, timings
from edgesim.profiling.runner.progress import Progress
from edgesim.profiling.runner.reading import KINDS, BrokenBundle, Bundle, Graph, open_bundle

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""The exit codes."""

TIMEOUT_BUDGETS = 10  # a graph hangs when it takes that many of its budgets, and no less than
LEAST_TIMEOUT_S = 600.0


class WrongOption(Exception):  # noqa: N818  (the name says what happened)
    """An option does not fit this bundle or this machine; the message is one line."""


def main(arguments: list[str], bundle: str, *, emulates: dict[str, Any] | None = None) -> int:
    """Time the graphs of a bundle, go on where an earlier session stopped; gives the exit code.

    Args:
        arguments: the command line without the program.
        bundle: path of the folder or zip.
        emulates: what the host line shall say of an emulated device.
    """
    options = _parser(bundle).parse_args(arguments)
    try:
        opened = open_bundle(bundle)
        graphs = _chosen(opened, options)
        if options.list:
            return _list(graphs)
        opened.verify()
        settings = _settings(options, emulates)
        line = campaign.host_line(opened, settings)
        log = timings.Log(options.out, line)
    except (
        BrokenBundle,
        WrongOption,
        campaign.MissingPackages,
        channel.ChildFailed,
        timings.BadTimings,
    ) as error:
        return _end(WRONG, str(error))
    return _time(opened, graphs, settings, log, options.out)


def _time(
    bundle: Bundle, graphs: list[Graph], settings: campaign.Settings, log: timings.Log, out: str
) -> int:
    waiting = [graph for graph in graphs if (graph.shape, graph.kind) not in log.timed]
    progress = Progress(len(waiting), sys.stderr)
    if len(waiting) < len(graphs):
        progress.say(f"{len(graphs) - len(waiting)} of {len(graphs)} graphs are in {out} already")
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        failures = campaign.time_graphs(bundle, waiting, settings, log, progress)
    except KeyboardInterrupt:
        return _end(
            INTERRUPTED, f"interrupted; what is done is in {out}, the same command goes on from there"
        )
    except OSError as error:
        return _end(FAILED, f"{out}: cannot be written: {error.strerror}")
    finally:
        signal.signal(signal.SIGTERM, before)
        log.close()
    progress.say(f"{len(graphs) - failures} of {len(graphs)} graphs are timed, in {out}")
    return FAILED if failures else DONE


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end(code: int, message: str) -> int:
    Progress(0, sys.stderr).say(message)
    return code


def _list(graphs: list[Graph]) -> int:
    for graph in graphs:
        print(f"{graph.shape}  {graph.kind:9}  batch {graph.batch:<5} {', '.join(graph.labels)}")
    return DONE


def _chosen(bundle: Bundle, options: argparse.Namespace) -> list[Graph]:
    kinds = KINDS if options.graphs == "both" else (options.graphs,)
    found = [graph for graph in bundle.graphs if graph.kind in kinds]
    for name in options.only:
        if not any(_is(graph, name) for graph in found):
            labels = sorted({label for graph in found for label in graph.labels})
            near = difflib.get_close_matches(name, labels, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else "; see --list"
            raise WrongOption(f'--only: no shape or label "{name}" in this bundle{hint}')
    return [graph for graph in found if not options.only or any(_is(graph, name) for name in options.only)]


def _is(graph: Graph, name: str) -> bool:
    return name == graph.shape or name in graph.labels


def _settings(options: argparse.Namespace, emulates: dict[str, Any] | None) -> campaign.Settings:
    allowed = host.cores()
    affinity = allowed if options.cores is None else options.cores
    if not set(affinity) <= set(allowed):
        raise WrongOption(f"--cores: this process may run on the cores {allowed} alone")
    if options.cores is not None and not hasattr(os, "sched_setaffinity"):
        raise WrongOption("--cores: this system cannot bind a process to cores; leave it out")
    if options.memory_limit is not None and sys.platform != "linux":
        raise WrongOption("--memory-limit: only Linux limits the data of a process; leave it out")
    if options.power_file is not None and host.number("", options.power_file) is None:
        raise WrongOption(f"--power-file: {options.power_file} holds no whole number of microwatts")
    return campaign.Settings(
        budget_s=options.budget,
        precision=options.precision,
        timeout_s=options.timeout or max(LEAST_TIMEOUT_S, TIMEOUT_BUDGETS * options.budget),
        threads=options.threads or len(affinity),
        affinity=tuple(affinity),
        spinning=options.spin,
        providers=tuple(options.providers),
        memory_limit_bytes=options.memory_limit,
        power_file=options.power_file,
        emulates=emulates,
    )


def _parser(bundle: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=os.path.basename(bundle),
        description="Times the graphs of this bundle on this machine. Needs numpy and onnxruntime.",
        epilog="Exit codes: 0 all graphs are timed, 1 some failed, 2 the input is wrong, 130 interrupted.",
    )
    add = parser.add_argument
    add(
        "--out",
        default="timings.jsonl",
        metavar="FILE",
        help="results; an earlier session is continued (%(default)s)",
    )
    add("--budget", type=_positive, default=60.0, metavar="SECONDS", help="for each graph (%(default)g)")
    add("--precision", type=_positive, default=0.03, metavar="SHARE",
        help="stop when the 95 %% interval of the median is this near (%(default)g)")  # fmt: skip
    add("--timeout", type=_positive, metavar="SECONDS", help="a graph that takes longer has failed")
    add("--threads", type=_count, metavar="N", help="as many as there are cores if absent")
    add("--cores", type=_cores, metavar="0,1", help="the cores to run on")
    add(
        "--spin", action="store_true", help="let threads wait busily: faster alone, erratic beside other work"
    )
    add(
        "--providers",
        type=_names,
        default="CPUExecutionProvider",
        metavar="A,B",
        help="of onnxruntime (%(default)s)",
    )
    add("--graphs", choices=[*KINDS, "both"], default="both", help="(%(default)s)")
    add("--only", action="append", default=[], metavar="SHAPE|LABEL", help="repeatable; see --list")
    add("--list", action="store_true", help="show what is in the bundle, and end")
    add("--memory-limit", type=_count, metavar="BYTES", help="for the data of the process that runs a graph")
    add("--power-file", metavar="PATH", help="power of the board in microwatts, as power1_input of hwmon")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _cores(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _names(text: str) -> list[str]:
    return text.split(",")
