"""A growth rule of one's own: from what there is to see after an aggregation, which capacities rise."""

from edgesim.growth._growth import Grown, GrowthRule, Seen, State, Step
from edgesim.registry import component
from edgesim.yaml_source import Count


@component
class OneAtATime(GrowthRule):
    """Every so many versions the device with the least capacity climbs one rung.

    Attributes:
        every: versions from one climb to the next.
    """

    every: Count = 1

    def step(self, state: State, seen: Seen) -> Step:
        """Whose turn it is, if it is anybody's; a state is frozen, and this rule has nothing to add to it."""
        device = int(seen.capacity.argmin())
        if seen.version % self.every or seen.capacity[device] >= state.top:
            return Step(state)
        return Step(state, [Grown(device, state.next_rung(seen.capacity[device]), "schedule")])
