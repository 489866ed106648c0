"""Semi-asynchronous rounds (FedGMR, arXiv 2512.05372): a class of devices is the clock for all.

Every device works all the time. A round closes a grace interval after the last reference device that was sent
out in it has delivered, with whatever has arrived by then from any round; what is still under way goes on and
counts in the round in which it arrives (algorithms 3.7 (4)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from edgesim.coordination._policy import WAITING, CoordinationPolicy
from edgesim.coordination._reference import Reference, reference_devices
from edgesim.papers import FEDGMR
from edgesim.registry import component
from edgesim.server.events import Abandoned, Aggregated, Arrived, Begin, Drained, Event, Fired, Lost
from edgesim.server.policy import Abandon, Action, Aggregate, Dispatch, Timer, Wake
from edgesim.server.view import View
from edgesim.yaml_source import Seconds

_CLOCK, _OTHERS, _CLOSE, _SEND = range(4)  # a tag is a round and what it is about


@component
class SemiAsynchronous(CoordinationPolicy):
    """A round lasts as long as its slowest reference device, plus the grace.

    At its beginning every device that is idle and present, and whose update is merged, gets the new model. A
    reference device that is lost counts as done. Where no reference device could be sent out the round waits
    for one; where none is ever to come it closes with the last of the others.

    Attributes:
        reference: the clock: `fastest` is the fleet entry that is fastest with the whole model (the first of
            equals), `{profile: x}` all devices of a profile, `{fraction: 0.1}` the fastest tenth.
        grace: seconds from the reference's last delivery to the aggregation.
        dispatch_gap: seconds from an aggregation to the next dispatches.
        buffer_mode: whether an aggregation counts the latest update of every device, discounted by its
            staleness, or those alone that have arrived since the previous one.
    """

    papers = (FEDGMR,)
    selects: ClassVar[bool] = False

    reference: Reference = "fastest"
    grace: Seconds = 0.5
    dispatch_gap: Seconds = 0.0
    buffer_mode: Literal["all_latest", "arrivals"] = "all_latest"

    @property
    def keeps_latest(self) -> bool:
        """Whether an aggregation counts the latest update of every device, not arrivals alone."""
        return self.buffer_mode == "all_latest"

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        clock, close, send = ((view.rounds, what) for what in (_CLOCK, _CLOSE, _SEND))
        match event:
            case Begin():
                return self._send(view)
            case Aggregated() | Abandoned():
                return [Timer(self.dispatch_gap, send)]
            case Arrived(dispatch) | Lost(dispatch) if view.tag(dispatch) == clock:
                return [] if view.in_flight(clock) else [Timer(self.grace, close)]
            case Fired(tag) if tag == send or (tag == WAITING and clock not in view.open_tags):
                return self._send(view)
            case Fired(tag) if tag == close:
                return self._close(view)
            case Drained() if _held(view):
                return self._close(view)
        return []

    def _send(self, view: View) -> list[Action]:
        reference = reference_devices(view.roster, self.reference)
        waiting = {view.device(dispatch) for dispatch in _held(view)}
        free = [device for device in view.free() if device not in waiting]
        clock = [device for device in free if reference.mask[device]]
        others = [device for device in free if not reference.mask[device]]
        return [
            Dispatch(clock, (view.rounds, _CLOCK)) if clock else Wake(WAITING, reference),
            Dispatch(others, (view.rounds, _OTHERS)),
        ]

    def _close(self, view: View) -> list[Action]:
        held = _held(view)
        return [Aggregate(held) if held else Abandon()]


def _held(view: View) -> list[int]:
    return [dispatch for tag in view.open_tags for dispatch in view.held(tag)]
