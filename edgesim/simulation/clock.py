"""SimPy's clock and heap, by absolute times, and who goes first within one instant."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heappush
from itertools import count
from time import monotonic, sleep
from typing import Any

import simpy
from simpy.rt import RealtimeEnvironment

from edgesim.server.events import TimerKind

Call = Callable[[simpy.Event], None]


_SLICE_S = 0.1  # how long nothing else is looked after


class Turn(IntEnum):
    """Order of what falls on one instant: devices, then reports, then the server's timers."""

    PHASE = 0
    LINKS = 1
    FAULT = 2
    LEAVE = 3
    REPORT = 4
    POLICY = 5
    EVALUATION = 6
    LIMIT = 7


TURN_OF = {
    TimerKind.POLICY: Turn.POLICY,
    TimerKind.EVALUATION: Turn.EVALUATION,
    TimerKind.LIMIT: Turn.LIMIT,
}


class _Due(simpy.Event):
    """An event that is certain to happen and bears its value from the begin."""

    _ok = True

    def __init__(self, clock: Clock, call: Call, value: object) -> None:
        self.env = clock
        self.callbacks = [call]
        self._value = value


class Clock(simpy.Environment):
    """Calls by absolute times: now + (t - now) may miss t by the last digit."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._calls = count()
        self._heap: list[Any] = self._queue  # SimPy compares places in it and does nothing else with them

    @property
    def shown_s(self) -> float:
        """The time to show to people."""
        return self.now

    def call_at(self, at_s: float, turn: Turn, order: int, call: Call, value: object = None) -> None:
        """Call with an event that bears this value; ties of one instant go by turn, order and request."""
        heappush(self._heap, (at_s, turn, (order, next(self._calls)), _Due(self, call, value)))


class PacedClock(Clock, RealtimeEnvironment):
    """A clock that keeps pace with the wall clock, or lags behind where the host needs longer.

    Args:
        speed: simulated seconds per second.
        meanwhile: called again and again while the clock waits.
    """

    def __init__(self, speed: float, meanwhile: Callable[[], None]) -> None:
        super().__init__(factor=1 / speed, strict=False)
        self._meanwhile = meanwhile

    @property
    def shown_s(self) -> float:
        """The time to show to people: it runs on between events, and not beyond the next one."""
        played_s = self.env_start + (monotonic() - self.real_start) / self.factor
        return max(self.now, min(played_s, self.peek()))

    def step(self) -> None:
        """Wait until the next event is due, and process it."""
        due = self.real_start + (self.peek() - self.env_start) * self.factor
        while (left_s := due - monotonic()) > 0:
            self._meanwhile()
            sleep(min(left_s, _SLICE_S))
        super().step()
