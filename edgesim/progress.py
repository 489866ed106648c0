"""How far the runs are, on stderr: bars on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

INTERVAL_S = 0.2

Report = Callable[[float], None]
"""Told the share of a run that is done, 0 to 1."""


def every(interval_s: float, report: Report) -> Report:
    """The same report at most once per interval of host time."""
    last = [0.0]

    def seldom(share: float) -> None:
        now = time.monotonic()
        if now - last[0] >= interval_s:
            last[0] = now
            report(share)

    return seldom


@dataclass
class Display:
    """Shows the runs of one command."""

    progress: Progress | None
    quiet: bool

    def start(self, label: str) -> TaskID | None:
        """A run begins."""
        return None if self.progress is None else self.progress.add_task(label, total=1.0)

    def update(self, task: TaskID | None, share: float) -> None:
        """A run is so far."""
        if self.progress is not None and task is not None:
            self.progress.update(task, completed=min(share, 1.0))

    def finish(self, task: TaskID | None, label: str, text: str) -> None:
        """A run has ended."""
        self.update(task, 1.0)
        if self.progress is None and not self.quiet:
            print(f"{label}: {text}", file=sys.stderr, flush=True)


@contextmanager
def display(*, quiet: bool) -> Iterator[Display]:
    """Bars where stderr is a terminal, plain lines where it is not, nothing where quiet."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Display(None, quiet)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Display(progress, quiet)
