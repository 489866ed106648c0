"""The command line of the runner."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import closing
from types import FrameType
from typing import Any, NoReturn

from edgesim.profiling.runner import campaign, options, timings
from edgesim.profiling.runner.errors import RunnerError
from edgesim.profiling.runner.progress import Progress
from edgesim.profiling.runner.reading import Graph, open_bundle

DONE, FAILED, INTERRUPTED = 0, 1, 130  # 2 and 1 come with the errors


def main(arguments: list[str], bundle: str, *, emulates: dict[str, Any] | None = None) -> int:
    """Time the graphs of a bundle, go on where an earlier session stopped; gives the exit code.

    Args:
        arguments: the command line without the program.
        bundle: path of the folder or zip.
        emulates: what the host line shall say of an emulated device.
    """
    given = options.parser(bundle).parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(given, bundle, emulates)
    except RunnerError as error:
        return _end(error.exit_code, str(error))
    except KeyboardInterrupt:
        return _end(
            INTERRUPTED, f"interrupted; {given.out} has what is done, the same command goes on from there"
        )
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(given: argparse.Namespace, path: str, emulates: dict[str, Any] | None) -> int:
    bundle = open_bundle(path)
    graphs = options.chosen(bundle, given)
    if given.list:
        return _list(graphs)
    bundle.verify()
    settings = options.settings(given, emulates)
    with closing(timings.Log(given.out, campaign.host_line(bundle, settings))) as log:
        turns = [_waiting(graphs, number, log) for number in range(given.passes)]
        progress = Progress(sum(map(len, turns)), sys.stderr)
        if len(turns[-1]) < len(graphs):
            progress.say(f"{given.out} has {len(graphs) - len(turns[-1])} of {len(graphs)} graphs already")
        failed: list[Graph] = []
        for turn in turns:  # far apart, as other work on the machine comes and goes
            sound = [graph for graph in turn if graph not in failed]
            progress.skip(len(turn) - len(sound))
            failed += campaign.time_graphs(bundle, sound, settings, log, progress)
    progress.say(f"{len(graphs) - len(failed)} of {len(graphs)} graphs are timed, in {given.out}")
    return FAILED if failed else DONE


def _waiting(graphs: list[Graph], number: int, log: timings.Log) -> list[Graph]:
    """The graphs that a pass still has to time."""
    return [graph for graph in graphs if log.timed.get((graph.shape, graph.kind), 0) <= number]


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end(code: int, message: str) -> int:
    Progress(0, sys.stderr).say(message)
    return code


def _list(graphs: list[Graph]) -> int:
    try:
        for graph in graphs:
            print(f"{graph.shape}  {graph.kind:9}  batch {graph.batch:<5} {', '.join(graph.labels)}")
        sys.stdout.flush()
    except BrokenPipeError:  # as by `| head`; Python would complain of it once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE
