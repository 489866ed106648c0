"""What keeps transfers from going on: restarts of the server, and links that are down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Any, cast

import simpy
from numpy.typing import NDArray

from edgesim.simulation.clock import Clock, Turn
from edgesim.simulation.stages import Stages
from edgesim.simulation.surroundings import Breaks, Interruptions


class OutageWatch:
    """Tells the stages of visits when transfers are lost, stand still and go on.

    While the server is away nothing can be sent either; what it orders then leaves when it is back.

    Args:
        clock: of the run.
        stages: that are told.
        faults: when things are down.
        group: fleet entry of each device.
    """

    def __init__(self, clock: Clock, stages: Stages, faults: Interruptions, group: NDArray[Any]) -> None:
        self._clock = clock
        self._stages = stages
        self._faults = faults
        self._group = group

    def begin(self) -> None:
        """Watch from now on."""
        for breaks in self._all():
            self._watch(breaks)
        self._stand()

    def _all(self) -> Iterator[Breaks]:
        yield self._faults.server
        yield self._faults.server_links
        yield from self._faults.links

    def _watch(self, breaks: Breaks) -> None:
        at_s = breaks.change_s(self._clock.now)
        if at_s < inf:
            self._clock.call_at(at_s, Turn.FAULT, 0, self._on_change, breaks)

    def _on_change(self, event: simpy.Event) -> None:
        breaks = cast(Breaks, event.value)
        self._watch(breaks)
        if breaks is self._faults.server and breaks.active(self._clock.now):
            self._stages.lose_transfers()
        self._stand()

    def _stand(self) -> None:
        """Let the transfers of all those stand still whose way to the server is down now."""
        now_s = self._clock.now
        everybody = bool(self._faults.server.active(now_s) or self._faults.server_links.active(now_s))
        down = frozenset(n for n, breaks in enumerate(self._faults.links) if breaks.active(now_s))
        group = self._group
        stands: Callable[[int], bool] = lambda device: everybody or int(group[device]) in down  # noqa: E731
        self._stages.stand(stands, everybody)
