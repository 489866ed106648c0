"""How runs are shown on stderr: one run in full, several by a line each, as plain lines, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import Progress

from edgesim.progress.lines import Lines
from edgesim.progress.live import LiveRun
from edgesim.progress.live_runs import LiveRuns
from edgesim.progress.moment import Moment

_REFRESHES = 4  # per second of the wall clock


class Shown(Protocol):
    """One run, as it is shown.

    Attributes:
        by_rounds: whether it is to be told of rounds at their ends, not of any moment.
    """

    by_rounds: bool

    def follow(self, moment: Moment) -> None:
        """The run has come to this."""
        ...

    def finish(self, text: str) -> None:
        """The run has ended like this."""
        ...


Start = Callable[[str], Shown]
"""A run with this label is to begin."""


@contextmanager
def display(*, quiet: bool, one: bool = False, speed: float | None = None) -> Iterator[Start]:
    """Show runs on stderr; nothing of it is left on a terminal in the end.

    Args:
        quiet: show nothing.
        one: there is one run alone, which is shown in full.
        speed: simulated seconds per second where it is played.
    """
    console = Console(stderr=True)
    if quiet:
        yield _Nothing
    elif not console.is_interactive:
        yield lambda label: Lines(label, apart=not one, write=_print)
    else:
        with Live(console=console, refresh_per_second=_REFRESHES, transient=True) as live:

            def full(label: str) -> Shown:
                run = LiveRun(label, speed)
                live.update(run)
                return run

            runs = LiveRuns()
            if not one:
                live.update(runs)
            yield full if one else runs.start


@contextmanager
def share_of(label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A bar for something that is no run; it is told the share that is done, 0 to 1."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_interactive) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Nothing:
    """Shows nothing."""

    by_rounds = True

    def __init__(self, label: str) -> None:
        pass

    def follow(self, moment: Moment) -> None:
        pass

    def finish(self, text: str) -> None:
        pass
