"""Buffered asynchronous federation (FedBuff; Nguyen et al. 2022): updates are merged K at a time.

K - `buffer`; M_c - `concurrency`. Each arrival is replaced *after* the aggregation that it may trigger
(algorithms 7b), so that the mean staleness is (M_c - 1) / K whatever the visits take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgesim.coordination._policy import AT_WORK, CoordinationPolicy, filled
from edgesim.papers import FEDBUFF
from edgesim.registry import component
from edgesim.server.events import Arrived, Drained, Event
from edgesim.server.policy import Action, Aggregate
from edgesim.server.view import View
from edgesim.yaml_source import Count


@component
class Buffered(CoordinationPolicy):
    """So many devices are at work at any time; updates wait in a buffer and are merged when it is full.

    What is left in it when no more dispatches are to come is merged as well; where the run ends otherwise it
    is `discarded`. Where too few devices are present the others follow as they come.

    Attributes:
        buffer: updates that make a version.
        concurrency: devices at work.
    """

    papers = (FEDBUFF,)
    aggregation: ClassVar[str | None] = "delta"

    buffer: Count
    concurrency: Count

    @property
    def merges_one(self) -> bool:
        """With a buffer of one."""
        return self.buffer == 1

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        held = view.held(AT_WORK)
        full = isinstance(event, Arrived) and len(held) >= self.buffer
        if full or (isinstance(event, Drained) and held):
            return [Aggregate(tuple(held))]
        return filled(view, self.concurrency)
