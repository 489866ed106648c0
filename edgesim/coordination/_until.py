"""A policy that ends the run when the learner sees nothing more to gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgesim.server.events import Aggregated, Event
from edgesim.server.policy import Action, Policy, Stop
from edgesim.server.view import View


@dataclass(frozen=True)
class UntilFinished:
    """Another policy, up to the aggregation after which the learner has finished.

    Attributes:
        policy: the other.
        finished: asks the learner, whose answer follows from what was aggregated.
    """

    policy: Policy
    finished: Callable[[], bool]

    @property
    def reads_loss(self) -> bool:
        """As the other policy."""
        return self.policy.reads_loss

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        """Stop, or do as the other policy."""
        if isinstance(event, Aggregated) and self.finished():
            return [Stop("growth")]
        return self.policy.decide(event, view)
