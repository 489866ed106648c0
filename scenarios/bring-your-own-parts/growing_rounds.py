"""A coordination policy of one's own: the fields are its YAML keys, every fact of the run is in the view."""

from collections.abc import Sequence
from typing import ClassVar

from edgesim.coordination._policy import CoordinationPolicy
from edgesim.coordination.synchronous import Synchronous
from edgesim.registry import component
from edgesim.server.events import Event
from edgesim.server.policy import Action
from edgesim.server.view import View
from edgesim.yaml_source import Count


@component
class GrowingRounds(CoordinationPolicy):
    """Synchronous rounds, each of more devices than the one before, up to the whole fleet.

    Attributes:
        first: devices of the first round.
        more: by how many every round grows.
    """

    weights_depend_on_time: ClassVar[bool] = False
    whole_rounds: ClassVar[bool] = True

    first: Count
    more: Count

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        """What synchronous rounds of the size of this round would do."""
        size = min(self.first + self.more * view.rounds, view.devices)
        return Synchronous(clients_per_round=size).decide(event, view)
