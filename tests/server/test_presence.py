"""Devices that come and go, as policies see them."""

from __future__ import annotations

import math

import numpy as np

from edgesim.server.events import Begin, Event, Fired
from edgesim.server.policy import Action, Dispatch, Wake
from edgesim.server.roster import Subset
from edgesim.server.view import View
from tests.fakes import Script, Shifts, computing, simulate

# Device i is there from second i on, device 0 never.
THERE = Shifts(on_s=50.0, period_s=100.0, delay_s=[math.inf, 1.0, 2.0, 3.0])


def heard(*lines) -> list[tuple[float, Event]]:
    """What a policy that says these lines hears, with the times."""
    times: list[float] = []

    class Listening(Script):
        def decide(self, event: Event, view: View) -> list[Action]:
            times.append(view.time_s)
            return list(super().decide(event, view))

    policy = Listening(*lines)
    simulate(computing(*[1.0] * 4), devices=4, policy=policy, presence=THERE, time_s=20.0)
    return list(zip(times, policy.heard, strict=True))


def test_a_call_comes_when_the_first_device_does() -> None:
    assert heard([Wake(7)])[:2] == [(0.0, Begin()), (1.0, Fired(7))]


def test_a_call_for_some_devices_waits_for_these() -> None:
    odd = Subset.of(np.array([False, False, False, True]))
    assert heard([Wake(7, odd)])[1] == (3.0, Fired(7))


def test_of_two_calls_of_one_tag_the_sooner_is_made() -> None:
    last = Subset.of(np.array([False, False, False, True]))
    assert [at_s for at_s, event in heard([Wake(7), Wake(7), Wake(7, last)]) if event == Fired(7)] == [1.0]


def test_where_somebody_is_present_no_call_is_made() -> None:
    assert [event for _, event in heard([Wake(7)], [Wake(8)])].count(Fired(8)) == 0


def test_only_who_is_present_is_free_drawn_and_selected() -> None:
    seen = []

    def look(view: View) -> list[Action]:
        even = Subset.of(np.array([True, False, True, False]))
        seen.extend([view.free(), sorted(view.draw(4)), sorted(view.select(4)), view.select(4, even)])
        return [Dispatch([1], 0)]

    heard([Wake(7, Subset.of(np.array([False, False, True, False])))], look)
    assert seen == [[1, 2], [1, 2], [1, 2], [2]]


def test_draws_by_another_key_and_numbers_by_another_purpose_differ() -> None:
    seen = []

    def look(view: View) -> list[Action]:
        seen.extend([view.draw(3), view.draw(3, 1), view.draw(3, 1)])
        seen.extend([view.uniform("a", [1, 2]).tolist(), view.uniform("b", [1, 2]).tolist()])
        return []

    simulate(computing(*[1.0] * 50), devices=50, policy=Script(look))
    assert seen[0] != seen[1] == seen[2]
    assert seen[3] != seen[4]
