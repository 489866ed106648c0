"""What is known of every device before the first visit, and whether one is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some devices of a fleet.

    Attributes:
        devices: their numbers, ascending.
        mask: whether each device of the fleet is one of them, [n].
    """

    devices: NDArray[np.int64]
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Self:
        """Those that this mask marks."""
        return cls(np.flatnonzero(mask), mask)

    def __len__(self) -> int:
        return len(self.devices)


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """Standing facts of the fleet, as columns [n]; device i is entry i of each.

    Attributes:
        profiles: per fleet entry, the name of its device profile or population.
        group: number of the fleet entry that the device comes from.
        samples: training samples that it has.
        expected_s: expected seconds of its first visit, with the capacity that it was given and no jitter.
        full_s: the same with the whole model.
    """

    profiles: tuple[str, ...]
    group: NDArray[np.int32]
    samples: NDArray[np.int64]
    expected_s: NDArray[np.float64]
    full_s: NDArray[np.float64]

    @classmethod
    def alike(cls, devices: int) -> Self:
        """So many devices of one entry, each with one sample and visits of a second."""
        second = np.ones(devices, np.float64)
        return cls(("device",), np.zeros(devices, np.int32), np.ones(devices, np.int64), second, second)

    def __len__(self) -> int:
        return len(self.group)

    def profiles_of(self, devices: Sequence[int]) -> list[str]:
        """Name of the profile of each of these devices."""
        entries = self.group[np.asarray(devices, dtype=np.int64)]
        return [self.profiles[entry] for entry in entries.tolist()]


@lru_cache(maxsize=4)
def samples_up_to(roster: Roster) -> NDArray[np.int64]:
    """Samples of each device and all before it together, [n]."""
    return np.cumsum(roster.samples)


class Presence(Protocol):
    """Whether devices are there. A device that is absent can be given no work."""

    @property
    def always(self) -> bool:
        """Whether no device is ever absent."""
        ...

    def present(self, devices: NDArray[np.int64], at_s: float) -> NDArray[np.bool_]:
        """Whether each of these devices is there at this time."""
        ...

    def first_s(self, devices: NDArray[np.int64], at_s: float) -> float:
        """The earliest time from `at_s` on at which any of these devices is there; infinite for never."""
        ...


class EverPresent:
    """A fleet that nobody leaves."""

    always = True

    def present(self, devices: NDArray[np.int64], at_s: float) -> NDArray[np.bool_]:  # noqa: ARG002
        """All of them."""
        return np.ones(len(devices), dtype=bool)

    def first_s(self, devices: NDArray[np.int64], at_s: float) -> float:
        """Now, if there are any devices."""
        return at_s if len(devices) else np.inf
