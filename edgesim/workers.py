"""Tasks in processes of their own, each telling how far it is.

Light, so that a worker spares the collector before it imports what is heavy.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from edgesim.heap import spare_collector

INTERVAL_S = 0.25
"""Host seconds between two looks at what was told."""

Task = TypeVar("Task")
Result = TypeVar("Result")

_told: Any = None  # queue of a worker, set when it starts: a pool has no other place for what its tasks share


def in_processes(
    work: Callable[[Task, Callable[[Any], None]], Result],
    tasks: Sequence[Task],
    workers: int,
    follow: Callable[[int, Any], None],
    finish: Callable[[int, Result], None],
) -> list[Result]:
    """What each task gives, in their order; the first failure ends them all.

    Args:
        work: a module's function; it gets a task, and what it may call with anything that can be pickled.
        tasks: one call each.
        workers: processes; each keeps its own threads, so the results do not depend on how many there are.
        follow: gets the number of a task and what it told.
        finish: gets the number of a task and its result.
    """
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    with ProcessPoolExecutor(workers, context, _start, (told,)) as pool:
        with _without_script():
            futures = {pool.submit(_call, work, number, task): number for number, task in enumerate(tasks)}
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, timeout=INTERVAL_S)
                _pass_on(told, follow)
                for future in done:
                    finish(futures[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


@contextmanager
def _without_script() -> Iterator[None]:
    """Workers that start meanwhile do not run the script that began them, and so not begin their like.

    They need nothing of it, and it may lack the `if __name__ == "__main__"` that other libraries ask for.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _start(told: Any) -> None:
    global _told
    _told = told
    spare_collector()


def _call(work: Callable[[Task, Callable[[Any], None]], Result], number: int, task: Task) -> Result:
    return work(task, lambda moment: _told.put((number, moment)))


def _pass_on(told: Any, follow: Callable[[int, Any], None]) -> None:
    while True:
        try:
            number, moment = told.get_nowait()
        except queue.Empty:
            return
        follow(number, moment)
