"""Runs of the timing half alone, and the bare SimPy program that they are measured against.

All seconds are CPU seconds, so that other work on the machine does not count.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import simpy

from edgesim import yaml_source
from edgesim.document import Document
from edgesim.experiment import Progress, execute
from edgesim.parts import Parts, prepare
from edgesim.scenario import resolve

REPEATS = 5


def federation(fleet: str, coordination: str, stop: str, server: str = "{}") -> Parts:
    """A federation whose model and data do not matter."""
    text = f"""
        name: benchmark
        model: {{name: mlp, hidden: [64]}}
        dataset: {{name: digits, partition: {{name: iid, clients: 100}}}}
        fleet: [{fleet}]
        server: {server}
        coordination: {coordination}
        stop: {stop}
    """
    return prepare(resolve(Document(yaml_source.parse(text, "benchmark"), Path(__file__))))


def unused(parts: Parts) -> Parts:
    """The same federation, whose costs no earlier run has worked out."""
    world = replace(parts.world, cost=replace(parts.world.cost))
    fresh = replace(parts, world=world)
    assert len(fresh.roster) == len(parts.fleet)  # the roster belongs to the start, not to the visits
    return fresh


def run(parts: Parts, progress: Progress | None = None) -> None:
    """The timing of a federation."""
    execute(parts, timing_only=True, progress=progress)


def bare_rounds(visits: int, per_round: int) -> None:
    """A SimPy process with three timeouts per visit, so many at a time."""
    environment = simpy.Environment()
    for _ in range(visits // per_round):
        for _ in range(per_round):
            environment.process(_visit(environment))
        environment.run()


def bare_stream(visits: int, concurrency: int) -> None:
    """The same, where each visit that ends is followed by another."""
    environment = simpy.Environment()
    left = iter(range(visits))

    def one_after_another() -> Iterator[simpy.Event]:
        yield from _visit(environment)
        if next(left, None) is not None:
            environment.process(one_after_another())

    for _ in range(concurrency):
        next(left)
        environment.process(one_after_another())
    environment.run()


def _visit(environment: simpy.Environment) -> Iterator[simpy.Event]:
    for _ in range(3):
        yield environment.timeout(random.random())


def fastest_s(*runs: Callable[[], None]) -> list[float]:
    """CPU seconds of each run at its best, all of them in turn."""
    return [
        min(column) for column in zip(*([_cpu_s(run) for run in runs] for _ in range(REPEATS)), strict=True)
    ]


def _cpu_s(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
