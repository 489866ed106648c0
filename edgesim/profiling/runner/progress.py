"""What is shown on stderr: a line per finished graph, and on a terminal a bar below them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

BAR_WIDTH = 24


class Progress:
    """Counts graphs and estimates the time left, from how long those of this session took.

    Args:
        total: graphs to be timed.
        stream: where to write; nothing is shown without one. One that was closed is no longer written to.
        clock: seconds from some fixed moment.
    """

    def __init__(
        self, total: int, stream: TextIO | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._stream = stream
        self._clock = clock
        self._begin_s = clock()
        self._done = 0
        self._width = 0  # of the bar that stands on the terminal
        self._terminal = stream is not None and stream.isatty()

    def working(self, title: str) -> None:
        """A graph is being timed."""
        if self._terminal:
            filled = BAR_WIDTH * self._done // self._total
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            self._write("\r", f"[{bar}] {self._done}/{self._total} {title}{self._left()}", "")

    def finished(self, title: str, text: str) -> None:
        """A graph is done, or failed."""
        self._done += 1
        left = "" if self._terminal else self._left()
        self._write("\r" if self._terminal else "", f"{self._done}/{self._total} {title}: {text}{left}", "\n")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write("\r" if self._terminal else "", text, "\n")

    def left_s(self) -> float | None:
        """Seconds to the end, when at least one graph is done."""
        if self._done == 0:
            return None
        return (self._clock() - self._begin_s) / self._done * (self._total - self._done)

    def _left(self) -> str:
        left_s = self.left_s()
        return "" if left_s is None or self._done == self._total else f", {duration(left_s)} left"

    def _write(self, begin: str, text: str, end: str) -> None:
        if self._stream is None:
            return
        padded = text.ljust(self._width) if begin else text
        self._width = 0 if end else len(text)
        try:
            self._stream.write(begin + padded + end)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal was closed; the timings go on
            self._stream = None


def duration(seconds: float) -> str:
    """Seconds for people: "41 s", "3 min 05 s", "2 h 03 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def brief(seconds: float) -> str:
    """The seconds of one run with three digits, in the unit that suits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError
