"""What is shown on stderr: a line per finished graph, and on a terminal a bar below them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

BAR_WIDTH = 24
CLEAR_LINE = "\r\x1b[K"


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
        self._finished_s = self._begin_s  # when the last graph was done
        self._done = 0
        self._terminal = stream is not None and stream.isatty()

    def working(self, title: str) -> None:
        """A graph is being timed."""
        if self._terminal:
            filled = BAR_WIDTH * self._done // self._total
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            text = f"[{bar}] {self._done}/{self._total}{self._left()}, now {title}"
            self._write(text[: shutil.get_terminal_size().columns - 1])

    def finished(self, title: str, text: str) -> None:
        """A graph is done, or failed."""
        self._done += 1
        self._finished_s = self._clock()
        self.say(f"{self._done}/{self._total} {title}: {text}" + ("" if self._terminal else self._left()))

    def skip(self, count: int) -> None:
        """So many graphs need not be timed after all."""
        self._total -= count

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(f"{text}\n")

    def left_s(self) -> float | None:
        """Seconds to the end, if graphs go on to take what they took; None before the first is done."""
        if self._done == 0:
            return None
        mean_s = (self._finished_s - self._begin_s) / self._done
        spent_s = min(self._clock() - self._finished_s, mean_s)
        return mean_s * (self._total - self._done) - spent_s

    def _left(self) -> str:
        left_s = self.left_s()
        return "" if left_s is None or self._done == self._total else f", {duration(left_s)} left"

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(CLEAR_LINE + text if self._terminal else text)
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
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
