"""Python's cyclic garbage collector, kept off what stays: PyTorch's modules alone are a million objects."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 50_000
"""Between two collections, instead of 700."""


def spare_collector() -> None:
    """For a process of our own: collect seldom, and leave the heap to the system at the end.

    Imports take a quarter less time so, and the last second, in which all modules are taken apart, is saved.
    """
    gc.set_threshold(ALLOCATIONS)
    atexit.register(gc.freeze)


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Within somebody else's process: pass over what was there before, which costs 0.25 s at a time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
