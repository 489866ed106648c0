"""One run on a terminal: where its clock is, what its devices do, how well the model does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgesim.progress import figures
from edgesim.progress.figures import ASCII_LEVELS, LEVELS
from edgesim.progress.moment import Moment, results

_WIDEST = 100  # columns
_NAMES = 16  # columns of the names on the left
_INDENT = "  "
_COLOURS = {"downloading": "cyan", "computing": "green", "uploading": "blue", "absent": "red"}

Row = tuple[str | Text, str | Text | Table]


class LiveRun:
    """What is known of a run, as rich draws it.

    Args:
        label: of the run.
        speed: simulated seconds per second where the run is played.
        now: host seconds.
    """

    by_rounds = False

    def __init__(
        self, label: str, speed: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._label = label
        self._speed = speed
        self._now = now
        self._begun_s = now()
        self._moment: Moment | None = None
        self._points: list[tuple[float, float]] = []

    def follow(self, moment: Moment) -> None:
        """The run has come to this."""
        if self._moment is None:
            self._begun_s = self._now()
        name = moment.headline
        if name is not None and (self._moment is None or moment.metrics is not self._moment.metrics):
            self._points.append((moment.time_s, moment.metrics[name]))
        self._moment = moment

    def finish(self, text: str) -> None:
        """The view goes when the run has ended."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        width = min(options.max_width, _WIDEST)
        grid = Table.grid(padding=(0, 2), expand=False)
        grid.add_column(style="dim", no_wrap=True, width=_NAMES - 2)
        grid.add_column(width=width - _NAMES)
        for row in self._rows(width - _NAMES, options.ascii_only):
            grid.add_row(*row)
        yield Text(self._label, style="bold", no_wrap=True, overflow="ellipsis")
        yield grid

    def _rows(self, width: int, ascii_only: bool) -> Iterator[Row]:
        moment, passed_s = self._moment, self._now() - self._begun_s
        if moment is None:
            yield "preparing", ""
            return
        yield "virtual time", self._clock(moment)
        yield "rounds", _of(str(moment.rounds), moment.stop.rounds)
        if moment.share is not None:
            yield "done", _bar(moment.share, min(40, width - 8))
        if moment.headline is not None:
            yield moment.headline, self._metric(moment, moment.headline, width, ascii_only)
        yield "visits", results(moment.outcomes)
        yield from _devices(moment, width, "#" if ascii_only else "█")
        yield "wall time", figures.wall(moment.share, passed_s, at_most=moment.stop.target is not None)

    def _clock(self, moment: Moment) -> str:
        limit_s = moment.stop.time_s
        shown = _of(figures.clock(moment.time_s), None if limit_s is None else figures.clock(limit_s))
        return shown if self._speed is None else f"{shown}, at {self._speed:g} s per second"

    def _metric(self, moment: Moment, name: str, width: int, ascii_only: bool) -> str:
        target = moment.stop.target
        wanted = figures.value(name, target.value) if target and target.metric == name else None
        text = _of(figures.value(name, moment.metrics[name]), wanted)
        levels = ASCII_LEVELS if ascii_only else LEVELS
        room = min(40, width - len(text) - 2)
        return f"{text}  {figures.sparkline(name, self._points, room, levels)}"


def _of(come_to: str, limit: object) -> str:
    return come_to if limit is None else f"{come_to} of {limit}"


def _bar(share: float, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(f"{100 * share:.0f} %", ProgressBar(1.0, share, width=width))
    return grid


def _devices(moment: Moment, width: int, block: str) -> Iterator[Row]:
    """Who does what: a bar and a number for each, as parts of the fleet."""
    fleet = sum(moment.devices.values())
    room = min(40, width - len(str(fleet)) - 2)
    yield "devices", str(fleet)
    for name, count in moment.devices.items():
        length = -(-count * room // fleet)  # whoever is there is seen
        bar = Text(f"{block * length:{room}}", style=_COLOURS.get(name, "dim"))
        yield f"{_INDENT}{name}", Text.assemble(f"{count:>{len(str(fleet))}}  ", bar)
