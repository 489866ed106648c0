"""The devices of a scenario, and how their seconds are known."""

from __future__ import annotations

from collections.abc import Iterator

from edgesim.devices.fleet import Fleet
from edgesim.devices.profile import Catalogue
from edgesim.devices.world import World
from edgesim.errors import InputError, Problem
from edgesim.rng import Streams
from edgesim.scenario import Scenario

_REMEDY = "time it (edgesim profile), or take cost: analytic"


def world_of(scenario: Scenario, catalogue: Catalogue) -> World:
    """The devices of a scenario and what their time depends on.

    Raises:
        InputError: a file is missing or wrong, or a profile lacks the timed steps that are asked for.
    """
    timed = scenario.cost.name == "measured"
    streams = Streams(scenario.seeds.timing)
    world = World.draw(scenario.fleet, scenario.server, scenario.faults, catalogue, streams, timed=timed)
    problems = list(_untimed(scenario, world.cost.fleet)) if timed else []
    if problems:
        raise InputError(*problems)
    return world


def _untimed(scenario: Scenario, fleet: Fleet) -> Iterator[Problem]:
    """What cannot be taken from what was timed."""
    lacking = [number for number, measured in enumerate(fleet.measured) if measured is None]
    if scenario.cost.otherwise == "error":
        for number in lacking:
            message = f'of "{fleet.profiles[number]}" no training steps were timed, and cost asks for them'
            yield Problem(f"{message}; {_REMEDY}", f"fleet[{number}]")
    elif len(lacking) == len(fleet.measured):
        yield Problem(f"is measured, and of no device of the fleet steps were timed; {_REMEDY}", "cost")


def timed_notes(scenario: Scenario, fleet: Fleet) -> list[str]:
    """Whose seconds are not those of steps that were timed on such a device, where that is asked for."""
    if scenario.cost.name != "measured":
        return []
    notes: dict[str, None] = {}
    for group, measured in zip(scenario.fleet, fleet.measured, strict=True):
        scale = group.compute.scale if group.compute else None
        if measured is None:
            what = "no training steps were timed, and its seconds are analytic"
        elif scale is not None:
            what = f"its seconds are those timed divided by the scale {scale:g}; no such device was timed"
        elif measured.emulated:
            what = "its steps were timed on another machine made as small, not on the device"
        else:
            continue
        notes[f"{group.device_type}: {what}"] = None
    return list(notes)
