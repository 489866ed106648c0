"""What the server asks of whoever drives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from edgesim.learner import Order, Workload
from edgesim.server.events import Tag, TimerKind


class Start(NamedTuple):
    """Send these visits out; orders and workloads belong together by position."""

    orders: tuple[Order, ...]
    workloads: tuple[Workload, ...]


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer with `Fired(tag, kind)` at this time."""

    at_s: float
    tag: Tag
    kind: TimerKind


@dataclass(frozen=True, slots=True)
class Abort:
    """Ask these visits to give up; each answers with `Lost(cancelled)` or, where it was sooner, `Arrived`."""

    dispatches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over. The driver may still tell how far visits in flight have come: `Lost(unfinished)`."""

    reason: str


Effect: TypeAlias = Start | SetTimer | Abort | Finish
