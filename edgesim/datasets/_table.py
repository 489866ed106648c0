"""A user's samples as read from a file, and the checks that every kind of file shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem, cut_off, did_you_mean

MAXIMUM_BYTES = 4 << 30  # more would not fit beside a simulation in the memory of a laptop


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Samples that are numbers, all finite, with a class each.

    Attributes:
        place: the file.
        label: array or column of the classes, for messages.
        x: float32 [n, *shape].
        y: int64 [n], none negative.
        clients: int64 [n], numbered from 0; null where the file names none.
        test_x: float32 [m, *shape]; null where the file has none.
        test_y: int64 [m], none negative; null where the file has none.
    """

    place: str
    label: str
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    clients: NDArray[np.int64] | None
    test_x: NDArray[np.float32] | None = None
    test_y: NDArray[np.int64] | None = None


def refuse(place: str, name: str, message: str) -> InputError:
    """The error of one array or column of a file."""
    return InputError(Problem(message, path=name, place=place))


def require(place: str, names: Iterable[str | None], known: Iterable[str], what: str) -> None:
    """Check that a file has all of these arrays or columns; null is nothing to look for.

    Raises:
        InputError: it lacks one.
    """
    there = tuple(known)
    missing = [name for name in names if name is not None and name not in there]
    if missing:
        hint = did_you_mean(missing[0], there)
        message = f'has no {what} "{missing[0]}"{hint} (it has {cut_off(", ".join(there)) or "none"})'
        raise refuse(place, "", message)


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers in single precision; those that are too large become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def numbered(clients: NDArray[Any]) -> NDArray[np.int64]:
    """Clients by number instead of by name, in the order of their names."""
    return np.unique(clients, return_inverse=True)[1].astype(np.int64)
