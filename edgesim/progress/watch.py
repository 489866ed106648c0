"""Looks at a run after its events, and tells of it now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from edgesim.progress.moment import Moment

if TYPE_CHECKING:  # the engine comes with SimPy, which showing a run does not need
    from edgesim.simulation.engine import Simulation

INTERVAL_S = 0.25
"""Host seconds between two moments of which is told."""

SINGLY = 10
"""So many rounds are told one by one, however soon they follow on each other."""

Tell: TypeAlias = Callable[[Moment], None]


class Watch:
    """Tells of a run every so often, and of its end. It only reads: the run stays what it would be.

    Most host seconds pass while updates are merged, and right after that all devices of a round begin. To
    show what they do, half of the visits in flight are let end before the run is looked at.

    Args:
        tell: is told.
        by_rounds: tell of rounds at their ends, the first ones one by one; else of any moment.
        now: host seconds.
    """

    def __init__(self, tell: Tell, *, by_rounds: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._by_rounds = by_rounds
        self._now = now
        self._next_s = 0.0
        self._rounds = 0
        self._events_left: int | None = None  # until the next look, once one is due
        self._simulation: Simulation | None = None
        self._ended = False

    def after_event(self, simulation: Simulation) -> None:
        """An event of a run has happened."""
        if self._ended:  # what follows are visits that are cut off
            return
        self._ended = simulation.reason is not None
        now_s = self._now()
        if self._ended or (self._round_is_due if self._by_rounds else self._moment_is_due)(simulation, now_s):
            self._look(simulation, now_s)

    def meanwhile(self) -> None:
        """The run, one that is played, waits for its next event."""
        now_s = self._now()
        if self._simulation is not None and not self._by_rounds and now_s >= self._next_s:
            self._look(self._simulation, now_s)

    def _round_is_due(self, simulation: Simulation, now_s: float) -> bool:
        rounds = simulation.server.view.rounds
        return rounds > self._rounds and (rounds <= SINGLY or now_s >= self._next_s)

    def _moment_is_due(self, simulation: Simulation, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        if self._events_left is None:
            view = simulation.server.view
            self._events_left = (view.devices - view.idle) // 2
        elif now_s >= self._next_s + INTERVAL_S:
            self._events_left = 0
        else:
            self._events_left -= 1
        return self._events_left <= 0

    def _look(self, simulation: Simulation, now_s: float) -> None:
        self._next_s, self._events_left = now_s + INTERVAL_S, None
        self._simulation, self._rounds = simulation, simulation.server.view.rounds
        self._tell(Moment.of(simulation))
