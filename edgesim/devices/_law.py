"""Laws of presence: whether a device is there at a time, and until when at least it stays so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.poisson import Floats, Numbers, Poisson

Bools: TypeAlias = NDArray[np.bool_]

HORIZON_S = 10 * 365.25 * 86_400.0
"""What does not happen within ten years counts as never happening."""


class Law(Protocol):
    """When devices are there; every argument is a column [n] over devices."""

    def present(self, devices: Numbers, at_s: Floats) -> Bools:
        """Whether each device is there at its time."""
        ...

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """The same, and a later time before which it does not change; infinite where it never does."""
        ...


@dataclass(frozen=True, slots=True)
class Ever:
    """Always there."""

    def present(self, devices: Numbers, at_s: Floats) -> Bools:  # noqa: ARG002
        """They all are."""
        return np.ones(len(devices), dtype=bool)

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """They all are, for ever."""
        return self.present(devices, at_s), np.full(len(devices), np.inf)


@dataclass(frozen=True, slots=True)
class MarkovLaw:
    """Devices that change between present and absent, each state lasting an exponential time.

    The state is the latest of two independent Poisson processes of events, comings at rate 1/off and goings
    at rate 1/on; a coming finds the device present or brings it. That is the redrawing of the state at resets
    of rate 1/on + 1/off, thinned by what was drawn, and stationary from the start.

    Attributes:
        comings: after which a device is there.
        goings: after which it is not.
    """

    comings: Poisson
    goings: Poisson

    def present(self, devices: Numbers, at_s: Floats) -> Bools:
        """Whether the latest event was a coming."""
        return self.comings.latest_s(devices, at_s) > self.goings.latest_s(devices, at_s)

    def look(self, devices: Numbers, at_s: Floats) -> tuple[Bools, Floats]:
        """The same, and the next event of the kind that changes it."""
        came_s, comes_s = self.comings.around_s(devices, at_s)
        went_s, goes_s = self.goings.around_s(devices, at_s)
        here = came_s > went_s
        return here, np.where(here, goes_s, comes_s)
