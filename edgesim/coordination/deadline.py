"""Rounds with over-selection and a deadline (Bonawitz et al. 2019, "Towards Federated Learning at Scale").

More devices are sent out than are needed; the round closes when enough have reported or when the time is up,
and whoever reports later has worked in vain.

G - goal count, `clients_per_round`; 1.3 - `over_selection`; reporting window - `deadline`; minimal share of
the goal count - `minimum_fraction`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from edgesim.coordination._policy import WAITING, CoordinationPolicy, dispatched
from edgesim.papers import SYSTEM_DESIGN
from edgesim.registry import component
from edgesim.server.events import Abandoned, Aggregated, Arrived, Begin, Event, Fired, Lost, Outcome
from edgesim.server.policy import Abandon, Action, Aggregate, Dispatch, Refuse, Timer
from edgesim.server.view import View
from edgesim.yaml_source import Count, Fraction, PositiveSeconds

_ROUNDING = 1e-9  # 1.3 * 10 is a little more than 13 in floating point


@component
class Deadline(CoordinationPolicy):
    """A round closes with its G-th report, at its deadline, or as soon as nothing can arrive any more.

    It is merged if enough have reported, else abandoned and its reports are `discarded`. A report of an
    earlier round is `late`; until it comes its device is at work and cannot be selected. Where no device is
    idle and present the next round begins when one is.

    Attributes:
        clients_per_round: the goal G, reports that a round waits for.
        over_selection: devices sent out per report wanted. The paper sends 1.3.
        deadline: seconds from a round's dispatches to its closing.
        minimum_fraction: share of G without which a round is abandoned. The paper gives no number; 0.8 leaves
            room for the 6 to 10 % of drop-outs that it observed.
    """

    papers = (SYSTEM_DESIGN,)

    clients_per_round: Count
    over_selection: Annotated[float, Field(ge=1)] = 1.3
    deadline: PositiveSeconds
    minimum_fraction: Fraction = 0.8

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        match event:
            case Begin() | Aggregated() | Abandoned():
                return self._begin(view)
            case Arrived(dispatch) if view.tag(dispatch) != view.rounds:
                return [Refuse((dispatch,), Outcome.LATE), *self._begin_if_waiting(view)]
            case Lost(dispatch) if view.tag(dispatch) != view.rounds:
                return self._begin_if_waiting(view)
            case Arrived() | Lost() if self._is_complete(view):
                return self._close(view)
            case Fired(tag) if tag == view.rounds:
                return self._close(view)
            case Fired(tag) if tag == WAITING:
                return self._begin_if_waiting(view)
        return []

    def _begin(self, view: View) -> list[Action]:
        actions = dispatched(view, _rounded_up(self.over_selection * self.clients_per_round), view.rounds)
        sent = any(isinstance(action, Dispatch) for action in actions)
        return [*actions, Timer(self.deadline, view.rounds)] if sent else actions

    def _begin_if_waiting(self, view: View) -> list[Action]:
        return [] if view.rounds in view.open_tags else self._begin(view)

    def _is_complete(self, view: View) -> bool:
        return len(view.held(view.rounds)) >= self.clients_per_round or not view.in_flight(view.rounds)

    def _close(self, view: View) -> list[Action]:
        held = tuple(view.held(view.rounds))
        minimum = max(1, _rounded_up(self.minimum_fraction * self.clients_per_round))
        return [Aggregate(held) if len(held) >= minimum else Abandon()]


def _rounded_up(devices: float) -> int:
    return math.ceil(devices - _ROUNDING)
