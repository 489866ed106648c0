"""What happens to a federation's server. It is told each event together with its time; it owns no clock.

What comes once per visit is a named tuple: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

Tag: TypeAlias = int | tuple[int, ...]
"""What a policy writes on dispatches and timers to recognise them again: a round, a tier and its round."""


class Outcome(StrEnum):
    """What became of a dispatch; every dispatch ends with exactly one."""

    AGGREGATED = "aggregated"
    LATE = "late"
    DISCARDED = "discarded"
    DROPPED = "dropped"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNFINISHED = "unfinished"


class TimerKind(IntEnum):
    """Whose timer it is. Timers of one instant fire in this order, after the reports of that instant."""

    POLICY = 1
    EVALUATION = 2
    LIMIT = 3


class VisitReport(NamedTuple):
    """What one visit took. Phases that were not completed are null.

    Attributes:
        download_s: seconds of the download.
        compute_s: seconds of the training.
        upload_s: seconds of the upload.
        energy_j: joules that the device spent on the visit; null where they are not known.
        cost_basis: how these numbers are known (measured, datasheet, estimated, ...).
        paused_s: seconds for which the device was away in between.
    """

    download_s: float | None
    compute_s: float | None
    upload_s: float | None
    energy_j: float | None
    cost_basis: str
    paused_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Begin:
    """The run begins."""


class Arrived(NamedTuple):
    """A device's update has reached the server; the device is idle again."""

    dispatch: int
    report: VisitReport


class Lost(NamedTuple):
    """A visit ended without an update; the device is idle again."""

    dispatch: int
    outcome: Outcome
    report: VisitReport


@dataclass(frozen=True, slots=True)
class Fired:
    """A timer went off. Policies see their own timers only."""

    tag: Tag
    kind: TimerKind = TimerKind.POLICY


class Aggregated(NamedTuple):
    """These dispatches made this version. Follows an `Aggregate` at once, before anything else happens."""

    version: int
    dispatches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The round of this number, from 0, was given up."""

    round: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing is in flight and no timer of the policy is set: the last chance to act before the run ends."""


DriverEvent: TypeAlias = Begin | Arrived | Lost | Fired
"""What the driver tells the server; the rest the server tells its policy."""

Event: TypeAlias = DriverEvent | Aggregated | Abandoned | Drained
