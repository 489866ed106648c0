"""Several runs on a terminal: a line each, and one for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgesim.progress import figures
from edgesim.progress.moment import Moment

_WIDE = 100  # columns, from which there is room for more than the essentials
_AROUND = 2  # lines of a terminal that runs leave alone


class LiveRuns:
    """The runs that have begun, as rich draws them; those that are over as long as there is room.

    Args:
        now: host seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._runs: list[_Run] = []

    def start(self, label: str) -> _Run:
        """A run is to begin."""
        run = _Run(label, self._now)
        self._runs.append(run)
        return run

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them."""
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for run, moment in self._shown(console.height - _AROUND):
            grid.add_row(*run.cells(moment, wide=options.max_width >= _WIDE))
        yield grid
        yield Text(self._together(), style="dim", no_wrap=True, overflow="ellipsis")

    def _shown(self, room: int) -> list[tuple[_Run, Moment]]:
        """As many as there is room for, those that are under way first."""
        begun = [(run, run.moment) for run in self._runs if run.moment is not None]
        room -= sum(not run.is_over for run, _ in begun)
        over = [run for run, _ in begun if run.is_over][: max(0, room)]
        return [(run, moment) for run, moment in begun if not run.is_over or run in over]

    def _together(self) -> str:
        over = f"{sum(run.is_over for run in self._runs)} of {len(self._runs)} runs"
        begun = [run for run in self._runs if run.moment is not None]
        if not begun:
            return f"{over}, preparing"
        share = sum(run.share for run in self._runs) / len(self._runs)
        passed_s = self._now() - min(run.begun_s for run in begun)
        at_most = any(run.moment is not None and run.moment.stop.target for run in begun)
        return f"{over}, {figures.wall(share, passed_s, at_most=at_most)}"


@dataclass
class _Run:
    label: str
    now: Callable[[], float]
    moment: Moment | None = None
    begun_s: float = 0.0  # host seconds of the first moment
    is_over: bool = False
    by_rounds: bool = False

    def follow(self, moment: Moment) -> None:
        """The run has come to this."""
        if self.moment is None:
            self.begun_s = self.now()
        self.moment = moment

    def finish(self, text: str) -> None:  # noqa: ARG002
        """The run has ended."""
        self.is_over = True

    @property
    def share(self) -> float:
        """How much of it is over; nothing where that is not known."""
        known = None if self.moment is None else self.moment.share
        return 1.0 if self.is_over else known or 0.0

    def cells(self, moment: Moment, *, wide: bool) -> list[str | ProgressBar]:
        """Label, bar, share and what it has come to."""
        told = [figures.clock(moment.time_s), f"round {moment.rounds}"] if wide else []
        told += figures.headline(moment)
        bar = ProgressBar(1.0, self.share, width=40 if wide else 12)
        return [self.label, bar, f"{100 * self.share:3.0f} %", "  ".join(told)]
