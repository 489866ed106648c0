"""The live table of a run that is played: `edgesim run --realtime 60`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgesim.progress import every
from edgesim.server.server import Server

Show: TypeAlias = Callable[[float, Server], None]


_PLAIN_S = 5.0  # host seconds between two lines where there is no terminal


@contextmanager
def playing(speed: float, *, quiet: bool) -> Iterator[Show]:
    """A table on stderr that follows the run, plain lines where that is no terminal, nothing where quiet.

    Args:
        speed: simulated seconds per second.
        quiet: show nothing.
    """
    console = Console(stderr=True)
    table = _LiveTable(speed)
    if quiet:
        yield lambda time_s, server: None  # noqa: ARG005
    elif console.is_terminal:
        with Live(table, console=console, refresh_per_second=8, transient=True):
            yield table.follow
    else:
        line = every(_PLAIN_S, lambda _share: print(table.line(), file=sys.stderr, flush=True))

        def follow(time_s: float, server: Server) -> None:
            table.follow(time_s, server)
            line(0.0)

        yield follow


class _LiveTable:
    """What the server knows, and a clock that runs on between events."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._server: Server | None = None
        self._time_s, self._seen = 0.0, time.monotonic()

    def follow(self, time_s: float, server: Server) -> None:
        """An event happens at this time."""
        self._server, self._time_s, self._seen = server, time_s, time.monotonic()

    def rows(self) -> list[tuple[str, str]]:
        """What to show, with its name."""
        now_s = self._time_s + (time.monotonic() - self._seen) * self._speed
        found = [("virtual time", f"{now_s:.1f} s"), ("speed", f"{self._speed:g} s per second")]
        if self._server is None:
            return found
        view = self._server.view
        at_work, held = view.devices - view.idle, sum(len(view.held(tag)) for tag in view.open_tags)
        found += [
            ("rounds", str(view.rounds)),
            ("devices at work", f"{at_work} of {view.devices}"),
            ("updates held", str(held)),
        ]
        found += [(str(outcome), str(count)) for outcome, count in self._server.outcomes.items()]
        return found + [(name, f"{value:.4g}") for name, value in self._server.metrics.items()]

    def line(self) -> str:
        """The same in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.rows())

    def __rich__(self) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right")
        for name, value in self.rows():
            table.add_row(name, value)
        return table
