"""Asynchronous federation (FedAsync; Xie, Koyejo, Gupta 2019): every update is merged as it arrives.

tau - `staleness`, versions that were made since the update's own was sent out; K - `maximum_staleness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from edgesim.coordination._policy import CoordinationPolicy, filled
from edgesim.papers import FEDASYNC
from edgesim.registry import component
from edgesim.server.events import Arrived, Event, Outcome
from edgesim.server.policy import Action, Aggregate, Refuse
from edgesim.server.view import View
from edgesim.yaml_source import Count


@component
class Asynchronous(CoordinationPolicy):
    """So many devices are at work at any time; who has delivered is replaced once its update is merged.

    Where too few are present the others follow as they come.

    Attributes:
        concurrency: devices at work.
        maximum_staleness: an update with a larger one is `rejected`; absent: none is.
    """

    papers = (FEDASYNC,)
    aggregation: ClassVar[str | None] = "mix"

    concurrency: Count
    maximum_staleness: Annotated[int, Field(ge=0)] | None = None

    @property
    def merges_one(self) -> bool:
        """Always."""
        return True

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        if not isinstance(event, Arrived):
            return filled(view, self.concurrency)
        if self.maximum_staleness is None or view.staleness(event.dispatch) <= self.maximum_staleness:
            return [Aggregate((event.dispatch,))]
        return [Refuse((event.dispatch,), Outcome.REJECTED), *filled(view, self.concurrency)]
