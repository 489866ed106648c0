"""Every error that edgesim raises on purpose, and the exit code that it carries to the shell.

EdgesimError            1   anything that ends a command with one clear message
    InputError          2   a file, an option or an environment variable is wrong
    RunFailed           1   the input was right and the run could still not be completed
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN = 60  # characters of a value that a message repeats


class EdgesimError(Exception):
    """Ends a command with its message and no traceback."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where, at which key, what, and what to do about it."""

    message: str
    path: str = ""
    place: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class InputError(EdgesimError):
    """The input is wrong. Holds every problem that was found, not the first alone."""

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunFailed(EdgesimError):  # noqa: N818  (the name says what happened)
    """A run could not be completed although its input was valid."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "pixel-6"?` for the nearest known name, or an empty string where none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return f'; did you mean "{by_folded[near[0]]}"?' if near else ""


def show_value(value: Any) -> str:
    """A value as a file would write it, cut off where it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value, default=str)
    return cut_off(text)


def cut_off(text: str) -> str:
    """As much of a text as a message repeats, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
