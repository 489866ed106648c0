"""What visits meet on their way: shared links, devices that leave, failures, faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.network import Direction
from edgesim.devices.outages import Outages
from edgesim.server.roster import Presence

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Stays(Presence, Protocol):
    """When devices are there, and what becomes of their work when they leave."""

    def until_s(self, devices: Numbers, at_s: float) -> Floats:
        """When each of these present devices leaves; infinite for never."""
        ...

    def next_s(self, devices: Numbers, at_s: float) -> Floats:
        """The earliest time from `at_s` on at which each of these devices is there; infinite for never."""
        ...

    @property
    def may_pause(self) -> bool:
        """Whether any device takes its work up again when it is back."""
        ...

    def pauses(self, devices: Numbers) -> NDArray[np.bool_]:
        """Whether these devices take their work up again when they are back; else it is lost."""
        ...

    def present_s(self, devices: Numbers, start_s: Any, end_s: Any) -> Floats:
        """Seconds that each of these devices is there, from a time to a later one."""
        ...


class Breaks(Protocol):
    """When something breaks down and is up again."""

    def active(self, at_s: float) -> NDArray[np.bool_]:
        """Whether it is down at this time."""
        ...

    def change_s(self, at_s: float) -> float:
        """The next time after this one at which it goes down or is up again; infinite for never."""
        ...


class Interruptions(Protocol):
    """What keeps transfers from going on."""

    @property
    def interrupt(self) -> bool:
        """Whether anything ever does."""
        ...

    @property
    def server(self) -> Breaks:
        """When the server is away: transfers in progress are lost."""
        ...

    @property
    def server_links(self) -> Breaks:
        """When the server's links are down: all transfers stand still."""
        ...

    @property
    def links(self) -> Sequence[Breaks]:
        """Per fleet entry, when its devices' links are down: their transfers stand still."""
        ...


class Mishaps(Protocol):
    """What goes wrong with visits."""

    @property
    def faults(self) -> Interruptions:
        """What keeps transfers from going on."""
        ...

    @property
    def ever(self) -> bool:
        """Whether a visit ever fails or is corrupted."""
        ...

    def failure_s(self, devices: Numbers, visits: Numbers) -> Floats:
        """Seconds of work after which each visit fails; infinite where it does not."""
        ...

    def corrupted(self, devices: Numbers, visits: Numbers) -> NDArray[np.bool_]:
        """Whether each visit's update arrives corrupted."""
        ...


class Routes(Protocol):
    """Which shared links there are."""

    @property
    def capacities_bps(self) -> Sequence[float] | Floats:
        """Of each link."""
        ...

    @property
    def multicast_link(self) -> int | None:
        """The link that the server sends parts over once which several devices need; null if it does not."""
        ...

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:
        """The shared links that a transfer of this device crosses."""
        ...


class _NothingBreaks:
    interrupt = False
    server: Breaks = Outages()
    server_links: Breaks = Outages()
    links: Sequence[Breaks] = ()


_NOTHING_BREAKS = _NothingBreaks()


class Calm:
    """Everybody stays and nothing goes wrong."""

    always = True
    may_pause = False
    ever = False
    multicast_link = None
    capacities_bps: tuple[float, ...] = ()

    @property
    def faults(self) -> Interruptions:
        """None."""
        return _NOTHING_BREAKS

    def present(self, devices: Numbers, at_s: float) -> NDArray[np.bool_]:  # noqa: ARG002
        """All of them."""
        return np.ones(len(devices), dtype=bool)

    def first_s(self, devices: Numbers, at_s: float) -> float:
        """Now, if there are any devices."""
        return at_s if len(devices) else np.inf

    def next_s(self, devices: Numbers, at_s: float) -> Floats:
        """Now."""
        return np.full(len(devices), at_s)

    def until_s(self, devices: Numbers, at_s: float) -> Floats:  # noqa: ARG002
        """Never."""
        return np.full(len(devices), np.inf)

    def present_s(self, devices: Numbers, start_s: Any, end_s: Any) -> Floats:
        """All the time."""
        return np.broadcast_to(np.subtract(end_s, start_s), devices.shape)

    def pauses(self, devices: Numbers) -> NDArray[np.bool_]:
        """None does."""
        return np.zeros(len(devices), dtype=bool)

    def failure_s(self, devices: Numbers, visits: Numbers) -> Floats:  # noqa: ARG002
        """None does."""
        return np.full(len(devices), np.inf)

    def corrupted(self, devices: Numbers, visits: Numbers) -> NDArray[np.bool_]:  # noqa: ARG002
        """None is."""
        return np.zeros(len(devices), dtype=bool)

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:  # noqa: ARG002
        """None."""
        return ()


CALM = Calm()
