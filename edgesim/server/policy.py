"""The two decisions that a federation's server leaves open: when (a policy) and who (a selector)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from edgesim.server.events import Event, Outcome, Tag
from edgesim.server.roster import Subset
from edgesim.server.view import View

Remembered: TypeAlias = int | float | str | tuple["Remembered", ...] | None


class Dispatch(NamedTuple):
    """Send the current version to these idle devices, in this order."""

    devices: Sequence[int]
    tag: Tag


class Aggregate(NamedTuple):
    """Merge these held updates into the next version; they are folded in dispatch order."""

    dispatches: Collection[int]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never use these held updates."""

    dispatches: Collection[int]
    outcome: Literal[Outcome.LATE, Outcome.REJECTED]


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give the round up: whatever is held is discarded, and the round counts."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Ask for `Fired(tag)` after so many seconds."""

    after_s: float
    tag: Tag


@dataclass(frozen=True, slots=True)
class Wake:
    """Ask for `Fired(tag)` once an idle device is present, where none is; never if none ever will be.

    Attributes:
        tag: as long as one call of a tag is to come, a later one of the same tag is not made.
        among: of whom one is waited for; everybody where absent.
    """

    tag: Tag
    among: Subset | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask visits in flight to give up; each answers with `Lost(cancelled)`, or `Arrived` if it was sooner."""

    dispatches: Collection[int]


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep a small value in `view.remembered`."""

    value: Remembered


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run for this reason."""

    reason: str


Action: TypeAlias = Dispatch | Aggregate | Refuse | Abandon | Timer | Wake | Cancel | Remember | Stop


class Policy(Protocol):
    """When devices are sent out and when updates are merged.

    Laws: frozen and without state, every fact is in the view. No update is aggregated twice, nor after it was
    refused. Until the stop rule ends the run there is always something in flight or a timer set.
    """

    @property
    def reads_loss(self) -> bool:
        """Whether it decides by training losses, which `--timing-only` does not have."""
        ...

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        """What to do about this event, in this order."""
        ...


class Selector(Protocol):
    """Which devices are sent out.

    Laws: frozen and without state; devices are distinct, idle and present; the same view gives the same ones.
    """

    reads_loss: ClassVar[bool]
    """Whether it decides by training losses, which `--timing-only` does not have."""

    def pick(self, k: int, view: View) -> Sequence[int]:
        """Up to `k` devices that are idle and present, in the order in which they are to be dispatched."""
        ...
