"""Looks at a run after each of its events, and tells of it now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from edgesim.progress.logs import Record
from edgesim.progress.moment import Moment
from edgesim.simulation.engine import Simulation

INTERVAL_S = 0.25
"""Host seconds between two moments of which is told."""

SINGLY = 10
"""So many rounds are told one by one, however soon they follow on each other."""

Tell: TypeAlias = Callable[[Moment], None]


class Watch:
    """Tells of the first rounds one by one, then of the run as it is every so often, and of its end.

    It only reads, so that the run stays what it would be.

    Args:
        tell: is told.
        record: writes down what is new; after each event, nothing is left out.
        now: host seconds.
    """

    def __init__(
        self, tell: Tell, record: Record | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._record = record
        self._now = now
        self._next_s = 0.0
        self._rounds = 0
        self._simulation: Simulation | None = None
        self._ended = False

    def after_event(self, simulation: Simulation) -> None:
        """An event of a run has happened."""
        if self._record is not None:
            self._record(simulation.server)
        if self._ended:  # what follows are visits that are cut off
            return
        self._ended = simulation.reason is not None
        rounds, now_s = simulation.server.view.rounds, self._now()
        if now_s >= self._next_s or self._rounds < rounds <= SINGLY or self._ended:
            self._look(simulation, now_s)

    def meanwhile(self) -> None:
        """The run, one that is played, waits for its next event."""
        now_s = self._now()
        if self._simulation is not None and now_s >= self._next_s:
            self._look(self._simulation, now_s)

    def _look(self, simulation: Simulation, now_s: float) -> None:
        self._next_s = now_s + INTERVAL_S
        self._simulation, self._rounds = simulation, simulation.server.view.rounds
        self._tell(Moment.of(simulation))
