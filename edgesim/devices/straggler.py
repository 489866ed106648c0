"""Stragglers: visits whose computation is slowed down now and then."""

from __future__ import annotations

from edgesim.devices._strict import Strict
from edgesim.devices.distribution import Multiplier
from edgesim.yaml_source import Probability


class Straggler(Strict):
    """A visit is slowed down with a probability, by a factor of its own.

    Attributes:
        probability: that a visit is slowed down, independent of all others.
        slowdown: what its compute time is multiplied by; not clipped, so a factor below one speeds it up.
    """

    probability: Probability
    slowdown: Multiplier
