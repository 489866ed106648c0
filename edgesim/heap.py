"""Python's cyclic garbage collector, kept off what stays: PyTorch's modules alone are a million objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 50_000
"""Between two collections, instead of 700: imports take a quarter less time so."""


def spare_collector() -> None:
    """Collect seldom from now on; for a process of our own."""
    gc.set_threshold(ALLOCATIONS)


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Pass over what was there before, which costs 0.25 s at a time; within anybody's process."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
