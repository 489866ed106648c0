"""SimPy's clock and heap, by absolute times, and who goes first within one instant."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heappush
from itertools import count
from typing import cast

import simpy
from simpy.events import EventPriority

from edgesim.server.events import TimerKind

Call = Callable[[simpy.Event], None]


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


class Clock(simpy.Environment):
    """Calls by absolute times: now + (t - now) may miss t by the last digit."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = count()

    def call_at(self, at_s: float, turn: Turn, order: int, call: Call, value: object = None) -> None:
        """Call with an event that bears this value; ties of one instant go by turn, order and request."""
        event = simpy.Event(self)
        event._ok = True
        event._value = value
        event.callbacks.append(call)
        place = cast(int, (order, next(self._calls)))  # SimPy compares it and does nothing else with it
        heappush(self._queue, (at_s, EventPriority(turn), place, event))
