"""Runs that are played at a pace."""

from __future__ import annotations

import pytest

from edgesim.selection.all import All
from edgesim.simulation.clock import PacedClock
from tests.fakes import TabledCost, simulate

COST = TabledCost(lambda device, visit: (1.0, 4.0 + device, 1.0))  # noqa: ARG005


def test_a_played_run_is_the_run_that_is_not_played() -> None:
    waits: list[None] = []
    clock = PacedClock(speed=100.0, meanwhile=lambda: waits.append(None))
    played = simulate(COST, devices=2, selector=All(), rounds=2, clock=clock)
    assert played.tables == simulate(COST, devices=2, selector=All(), rounds=2).tables
    assert clock.now == 14.0
    assert waits  # 14 s at 100 s per second cannot be over at once


def test_whoever_looks_after_other_things_can_end_the_wait() -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(COST, devices=1, clock=PacedClock(speed=1e-3, meanwhile=pressed))
