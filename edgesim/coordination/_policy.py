"""What coordination policies have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from edgesim.papers import Paper
from edgesim.server.events import Event, Tag
from edgesim.server.policy import Action, Dispatch, Wake
from edgesim.server.view import View


class CoordinationPolicy(ABC):
    """When devices are sent out and updates merged. `edgesim.server.policy.Policy` states the laws.

    A round's number is `view.rounds` while it runs and is the tag of its dispatches and timers: whatever
    bears another number belongs to a round that is over.

    Claims:
        weights_depend_on_time: which updates make which version depends on how long visits take. To be denied
            only where each round is of visits sent out together and ends with the slowest of them.
        whole_rounds: it merges all updates of the visits that were sent out together, and no others.
        selects: it asks the selector whom to send out.
        aggregation: how its updates are merged unless the scenario says; null: as the sub-model says.
        papers: behind the policy.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    weights_depend_on_time: ClassVar[bool] = True
    whole_rounds: ClassVar[bool] = False
    selects: ClassVar[bool] = True
    aggregation: ClassVar[str | None] = None

    @property
    def reads_loss(self) -> bool:
        """Whether it decides by training losses."""
        return False

    @property
    def merges_one(self) -> bool:
        """Whether it merges every update alone."""
        return False

    @property
    def keeps_latest(self) -> bool:
        """Whether an aggregation counts the latest update of every device, not arrivals alone."""
        return False

    @abstractmethod
    def decide(self, event: Event, view: View) -> Sequence[Action]:
        """What to do about this event, in this order."""


WAITING = -1
"""Tag of wake-up calls, where nobody is present who could be sent out."""


def dispatched(view: View, k: int, tag: Tag) -> list[Action]:
    """Send out whom the selector picks of `k`; where nobody is present, wake up when somebody is."""
    chosen = view.select(k)
    if chosen:
        return [Dispatch(chosen, tag)]
    return [Wake(WAITING)] if view.idle else []


AT_WORK = 0
"""Tag of all dispatches of a policy without rounds of its own."""


def filled(view: View, concurrency: int) -> list[Action]:
    """Send out as many as are missing of those to be at work; where too few are present, wake up for more."""
    missing, remaining = concurrency - len(view.in_flight(AT_WORK)), view.remaining_dispatches
    if remaining is not None and remaining < missing:
        missing = remaining
    chosen = view.select(missing)
    actions: list[Action] = [Dispatch(chosen, AT_WORK)] if chosen else []
    short = len(chosen) < missing and len(chosen) < view.idle
    return [*actions, Wake(WAITING)] if short else actions
