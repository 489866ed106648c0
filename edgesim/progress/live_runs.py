"""Several runs on a terminal: a line each, and one for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable

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
        self._begun_s = now()
        self._runs: list[_Run] = []

    def start(self, label: str) -> _Run:
        """A run is to begin."""
        run = _Run(label)
        self._runs.append(run)
        return run

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them."""
        wide = options.max_width >= _WIDE
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for run in self._shown(console.height - _AROUND):
            grid.add_row(*run.cells(wide))
        yield grid
        yield Text(self._together(), style="dim", no_wrap=True, overflow="ellipsis")

    def _shown(self, room: int) -> list[_Run]:
        """As many as there is room for, those that are under way first."""
        begun = [run for run in self._runs if run.moment is not None]
        chosen = sorted(begun, key=lambda run: run.is_over)[:room]
        return [run for run in begun if run in chosen]

    def _together(self) -> str:
        over = sum(run.is_over for run in self._runs)
        share = sum(run.share for run in self._runs) / max(1, len(self._runs))
        elapsed_s = self._now() - self._begun_s
        return f"{over} of {len(self._runs)} runs, {figures.wall(share, elapsed_s, at_most=False)}"


class _Run:
    by_rounds = False

    def __init__(self, label: str) -> None:
        self._label = label
        self.moment: Moment | None = None
        self.is_over = False

    def follow(self, moment: Moment) -> None:
        """The run has come to this."""
        self.moment = moment

    def finish(self, text: str) -> None:  # noqa: ARG002
        """The run has ended."""
        self.is_over = True

    @property
    def share(self) -> float:
        """How much of it is over; nothing where that is not known."""
        known = None if self.moment is None else self.moment.share
        return 1.0 if self.is_over else known or 0.0

    def cells(self, wide: bool) -> list[str | ProgressBar]:
        """Label, bar, share and what it has come to."""
        moment = self.moment
        assert moment is not None
        told = [figures.clock(moment.time_s), f"round {moment.rounds}"] if wide else []
        if moment.headline is not None:
            told.append(
                f"{moment.headline} {figures.value(moment.headline, moment.metrics[moment.headline])}"
            )
        bar = ProgressBar(1.0, self.share, width=40 if wide else 12)
        return [self._label, bar, f"{self.share:4.0%}", "  ".join(told)]
