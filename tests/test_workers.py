"""Tasks in processes of their own: results in order, what they tell is passed on, a failure ends them all."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesim.heap import ALLOCATIONS
from edgesim.workers import INTERVAL_S, in_processes


def squared(number: int, tell: Callable[[Any], None]) -> int:
    for step in range(number):
        tell(step)
    return number * number


def refused(number: int, tell: Callable[[Any], None]) -> int:
    if number == 1:
        raise ValueError("task 1 cannot be done")
    return squared(number, tell)


def lingering(_: int, tell: Callable[[Any], None]) -> None:
    tell("begun")
    time.sleep(4 * INTERVAL_S)


def surroundings(_: int, tell: Callable[[Any], None]) -> tuple[int, int]:  # noqa: ARG001
    return os.getpid(), gc.get_threshold()[0]


def ignored(*_: Any) -> None:
    """Nobody listens."""


def test_results_come_in_the_order_of_their_tasks_and_each_is_finished_once() -> None:
    told: list[tuple[int, int]] = []
    finished: dict[int, int] = {}
    results = in_processes(squared, [3, 1, 2], 2, lambda *moment: told.append(moment), finished.__setitem__)
    assert results == [9, 1, 4]
    assert finished == {0: 9, 1: 1, 2: 4}
    assert set(told) <= {(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)}
    assert len(set(told)) == len(told)


def test_what_is_told_while_a_task_goes_on_is_passed_on() -> None:
    told: list[tuple[int, str]] = []
    in_processes(lingering, [0], 1, lambda *moment: told.append(moment), ignored)
    assert told == [(0, "begun")]


def test_a_failure_is_raised_as_it_was_and_ends_the_rest() -> None:
    finished: list[int] = []
    with pytest.raises(ValueError, match="task 1 cannot be done"):
        in_processes(refused, [0, 1, 2, 3], 1, ignored, lambda number, _: finished.append(number))
    assert set(finished) <= {0, 2, 3}


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.test_workers import ignored, squared\n"
        "from edgesim.workers import in_processes\n"
        "print(in_processes(squared, [2, 3], 2, ignored, ignored))\n"
    )
    command, here = (
        [sys.executable, str(script)],
        {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    done = subprocess.run(command, capture_output=True, text=True, env=here, check=False)
    assert (done.stdout, done.stderr) == ("[4, 9]\n", "")


def test_workers_are_other_processes_that_spare_the_collector() -> None:
    ((process, threshold),) = in_processes(surroundings, [0], 1, ignored, ignored)
    assert process != os.getpid()
    assert threshold == ALLOCATIONS
