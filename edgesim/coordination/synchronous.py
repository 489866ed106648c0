"""Synchronous rounds (FedAvg; McMahan et al. 2017, algorithm 1): send k devices out, wait for all, merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgesim.coordination._policy import WAITING, CoordinationPolicy, dispatched
from edgesim.papers import FEDAVG
from edgesim.registry import component
from edgesim.server.events import Abandoned, Aggregated, Arrived, Begin, Event, Fired, Lost
from edgesim.server.policy import Abandon, Action, Aggregate
from edgesim.server.view import View
from edgesim.yaml_source import Count


@component
class Synchronous(CoordinationPolicy):
    """All of a round are waited for: it lasts as long as its slowest visit.

    Whatever arrived is merged; if nothing did, it is abandoned. Where nobody is present the round begins when
    somebody is.

    Attributes:
        clients_per_round: devices sent out per round; all that are present where these are fewer.
    """

    papers = (FEDAVG,)
    weights_depend_on_time: ClassVar[bool] = False
    whole_rounds: ClassVar[bool] = True

    clients_per_round: Count

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        match event:
            case Begin() | Aggregated() | Abandoned():
                return dispatched(view, self.clients_per_round, view.rounds)
            case Fired(tag) if tag == WAITING and view.rounds not in view.open_tags:
                return dispatched(view, self.clients_per_round, view.rounds)
            case Arrived() | Lost() if not view.in_flight(view.rounds):
                held = view.held(view.rounds)
                return [Aggregate(tuple(held)) if held else Abandon()]
        return []
