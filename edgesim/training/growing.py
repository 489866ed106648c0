"""A growth rule at work: what it is shown, what it raises, and the table of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import RunFailed
from edgesim.growth._growth import Grown, GrowthRule, Seen, Step

Look = Callable[[Sequence[int]], tuple[float, Mapping[int, float]]]
"""Accuracy of the average of the last trained sub-models, and of those of some devices."""

_COLUMNS = ("time_s", "version", "device", "capacity_before", "capacity", "cause", "outcome")


class Books(Protocol):
    """Where capacities are kept."""

    capacity: NDArray[np.float64]

    def fits(self, device: int, capacity: float) -> bool:
        """Whether a sub-model of this capacity fits in the device's memory."""
        ...

    def give(self, device: int, capacity: float) -> None:
        """Change the capacity of a device from its next visit on."""
        ...


@dataclass
class Growing:
    """The growth of one run.

    Attributes:
        rule: what grows when.
        first: what the rule says before anything is seen.
        finished: whether the rule sees nothing more to gain.
    """

    rule: GrowthRule
    first: Step
    finished: bool = False
    _rows: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._last = self.first

    def fresh(self) -> Growing:
        """The same rule at its beginning."""
        return Growing(self.rule, self.first)

    def after(self, version: int, time_s: float, books: Books, look: Look | None) -> None:
        """Let the rule see an aggregation, and raise what it says; what does not fit stays as it is.

        Args:
            version: that the aggregation made.
            time_s: virtual time.
            books: where capacities are kept.
            look: for accuracies; null where nothing is trained.

        Raises:
            RunFailed: the rule would shrink a capacity.
        """
        wanted = self._last.wanted
        if self.finished or (wanted is not None and version < wanted.version):
            return
        seen = Seen(version, time_s, books.capacity)
        if wanted is not None and look is not None:
            average, clients = look(np.flatnonzero(books.capacity < wanted.below).tolist())
            seen = Seen(version, time_s, books.capacity, average, clients)
        self._last = self.rule.step(self._last.state, seen)
        self.finished = self._last.finished
        for grown in self._last.grown:
            self._raise(grown, version, time_s, books)

    def _raise(self, grown: Grown, version: int, time_s: float, books: Books) -> None:
        device, capacity, cause = grown
        before = float(books.capacity[device])
        if not capacity > before:
            message = f"growth: device {device} has capacity {before:g}, and would get {capacity:g}"
            raise RunFailed(f"{message}; capacities never shrink")
        fits = books.fits(device, capacity)
        if fits:
            books.give(device, capacity)
        outcome = "grown" if fits else "too_large"
        self._rows.append((time_s, version, device, before, capacity, cause, outcome))

    def table(self) -> dict[str, list[Any]]:
        """Columns of the table of growth."""
        return {name: [row[place] for row in self._rows] for place, name in enumerate(_COLUMNS)}
