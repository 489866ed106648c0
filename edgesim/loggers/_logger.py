"""What logs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, TypeAlias


class Scalar(NamedTuple):
    """A number that a run has come to.

    Attributes:
        time_s: virtual time, the same in every run of the scenario.
        version: of the model; the initial one is 0.
        name: what it is, after the group that it belongs to, as in `evaluation/accuracy`.
        value: the number; an evaluation may give one that is not finite.
    """

    time_s: float
    version: int
    name: str
    value: float


Write: TypeAlias = Callable[[Scalar], None]
"""Told every scalar once. Those of one name come in the order of their times, others in between."""


class Logger(ABC):
    """A kind of log.

    Raises:
        InputError: when it is made, where a package that it needs is not installed.
    """

    @abstractmethod
    def opened(self, folder: Path) -> AbstractContextManager[Write]:
        """A log, open for as long as its run lasts, also where this ends with an error.

        Args:
            folder: an existing one, of this run alone; other logs write into it too.
        """
