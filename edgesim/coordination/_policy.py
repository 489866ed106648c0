"""What coordination policies have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from edgesim.server.events import Event, Tag
from edgesim.server.policy import Action, Dispatch, Wake
from edgesim.server.view import View


class CoordinationPolicy(ABC):
    """When devices are sent out and updates merged. `edgesim.server.policy.Policy` states the laws.

    A round's number is `view.rounds` while it runs and is the tag of its dispatches and timers: whatever
    bears another number belongs to a round that is over.

    Claims:
        reads_loss: it decides by training losses.
        weights_depend_on_time: which updates make which version depends on how long visits take. To be denied
            only where each round is of visits sent out together and ends with the slowest of them.
        aggregation: how updates are merged under it unless the scenario says so; null: the sub-model's own.
    """

    reads_loss: ClassVar[bool] = False
    weights_depend_on_time: ClassVar[bool] = True
    aggregation: ClassVar[str | None] = None

    @property
    def keeps_latest(self) -> bool:
        """Whether an aggregation merges again what other devices reported before, discounted by its age."""
        return False

    @abstractmethod
    def decide(self, event: Event, view: View) -> Sequence[Action]:
        """What to do about this event, in this order."""


WAITING = -1
"""Tag of the wake-up call of a round that nobody is present for."""


def dispatched(view: View, k: int, tag: Tag) -> list[Action]:
    """Send out whom the selector picks of `k`; where nobody is present, wake up when somebody is."""
    chosen = view.select(k)
    if chosen:
        return [Dispatch(chosen, tag)]
    return [Wake(WAITING)] if view.idle else []
