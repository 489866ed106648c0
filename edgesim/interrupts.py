"""Ctrl-C between two events of a run, and not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait for the next call of what this gives, or for the end; a second one is not kept waiting.

    An exception that is raised while PyTorch's C++ code calls back into Python may abort the whole process.
    """
    pressed = threading.Event()

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    def note(_signal: int, _frame: FrameType | None) -> None:
        check()
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield check  # signals reach the main thread alone
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
    check()
