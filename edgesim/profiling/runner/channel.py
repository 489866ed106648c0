"""Child processes: one question in, one answer out, both JSON; the parent outlives whatever befalls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgesim.profiling.runner.errors import ChildFailed

TICK_S = 0.5
_SHOWN = 300  # characters of a child's last words

# The folder in which a script starts may hold an edgesim or a numpy of its own.
_START = (
    "import sys; sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]; "
    "from edgesim.profiling.runner import {0}; {0}.main()"
)
_QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # numpy's threads, and their memory


def ask(module: str, question: Any, timeout_s: float, tick: Callable[[], None]) -> Any:
    """What `module.main()` answers in a process of its own.

    Args:
        module: a file of this folder.
        question: what `question()` gives there.
        timeout_s: after which the child is killed.
        tick: called twice a second while the child works.

    Raises:
        ChildFailed: it crashed, was killed, or took too long.
    """
    root = os.path.abspath(__file__)
    for _ in range(4):
        root = os.path.dirname(root)  # a folder, or the zip that this file lies in
    with _started([sys.executable, "-c", _START.format(module), root]) as process:
        try:
            answer, words = _communicate(process, json.dumps(question).encode(), timeout_s, tick)
        finally:
            process.kill()
    if process.returncode:
        raise ChildFailed(_explain(process.returncode, words))
    return json.loads(answer)


def question() -> Any:
    """In the child: what the parent asks."""
    return json.loads(sys.stdin.buffer.read())


@contextmanager
def answering() -> Iterator[Callable[[Any], None]]:
    """In the child: gives what sends the answer; what else is printed goes to stderr."""
    own = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(own, "w") as stream:
        yield lambda answer: print(json.dumps(answer), file=stream)


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_QUIET},
            start_new_session=True,  # Ctrl-C then reaches the parent alone, which ends the child
        )
    except OSError as error:
        raise ChildFailed(f"no process can be started: {error.strerror}") from error


def _communicate(
    process: subprocess.Popen[bytes], text: bytes, timeout_s: float, tick: Callable[[], None]
) -> tuple[bytes, bytes]:
    end = time.monotonic() + timeout_s
    done = _heard(process, text, min(TICK_S, timeout_s))
    while done is None:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise ChildFailed(f"took longer than {timeout_s:g} s and was ended; see --timeout")
        tick()
        done = _heard(process, None, min(TICK_S, left_s))
    return done


def _heard(process: subprocess.Popen[bytes], text: bytes | None, wait_s: float) -> tuple[bytes, bytes] | None:
    try:
        return process.communicate(text, timeout=wait_s)
    except subprocess.TimeoutExpired:
        return None


def _explain(returncode: int, words: bytes) -> str:
    lines = words.decode(errors="replace").strip().splitlines()
    last = lines[-1].strip()[:_SHOWN] if lines else ""
    if returncode > 0:
        return last or f"ended with exit code {returncode}"
    name = signal.Signals(-returncode).name
    if name == "SIGKILL":
        return "was killed by the system, which may have run out of memory (SIGKILL)"
    return f"crashed with {name}" + (f": {last}" if last else "")
