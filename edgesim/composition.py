"""Which choices of a scenario make sense together (the table of algorithms.md section 4).

A rule asks for no method, policy or aggregation by name but for what their classes claim, so that a new one
states its claims and finds its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgesim.aggregation._aggregator import Aggregator
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.coordination._reference import OfProfile
from edgesim.errors import Problem, did_you_mean
from edgesim.growth._growth import GrowthRule
from edgesim.growth.none import NoGrowth
from edgesim.registry import name_of
from edgesim.selection._selector import SelectionRule
from edgesim.submodels._submodel import SubmodelStrategy


@dataclass(frozen=True)
class Choices:
    """What is to work together.

    Attributes:
        submodel: what a device trains.
        selection: who does.
        coordination: when.
        aggregation: how it is merged.
        profiles: per entry of the fleet, its profile or population and its number of devices.
        growth: how capacities grow.
    """

    submodel: SubmodelStrategy
    selection: SelectionRule
    coordination: CoordinationPolicy
    aggregation: Aggregator
    profiles: tuple[tuple[str, int], ...]
    growth: GrowthRule = field(default_factory=NoGrowth)

    @property
    def devices(self) -> int:
        """Size of the fleet."""
        return sum(count for _, count in self.profiles)

    def number(self, key: str) -> int | None:
        """What the coordination, or else the selection, says under this key."""
        found: int | None = getattr(self.coordination, key, getattr(self.selection, key, None))
        return found


@dataclass(frozen=True)
class Rule:
    """Something to say about some choices.

    Attributes:
        applies: whether it is to be said.
        path: the key that it is about.
        message: with the names of the choices in braces.
    """

    applies: Callable[[Choices], bool]
    path: str
    message: str

    def said(self, choices: Choices) -> str:
        """The message with names."""
        rooms = ("submodel", "growth", "selection", "coordination", "aggregation")
        named = {room: f'"{name_of(getattr(choices, room))}"' for room in rooms}
        return self.message.format(**named, own=f'"{choices.submodel.aggregation}"', devices=choices.devices)


SENSELESS = (
    Rule(
        lambda c: c.growth.grows and not c.submodel.scalar,
        "growth",
        "{growth} raises capacities, and what {submodel} gives a device is no single number that could grow; "
        "leave growth out",
    ),
    Rule(
        lambda c: c.aggregation.one_at_a_time and not c.coordination.merges_one,
        "aggregation",
        "{aggregation} is for one update at a time, and {coordination} merges several at once; use {own}, or "
        "coordination: asynchronous",
    ),
    Rule(
        lambda c: c.coordination.merges_one and not (c.aggregation.one_at_a_time or c.aggregation.needs_base),
        "aggregation",
        "{aggregation} averages, and {coordination} merges one update at a time: each would take the model's "
        "place; use mix (with mixing: 1 if that is meant) or delta",
    ),
    Rule(
        lambda c: c.coordination.keeps_latest and c.aggregation.needs_base,
        "aggregation",
        "{aggregation} adds what an update changed, and {coordination} with buffer_mode: all_latest would "
        "add it again in every round; use buffer_mode: arrivals, or {own}",
    ),
    Rule(
        lambda c: c.submodel.disjoint and not c.coordination.whole_rounds,
        "coordination",
        "{submodel} cuts the model into parts, one for each device of a round, and {coordination} does not "
        "wait for all of them: the rest would be holes; use synchronous",
    ),
    Rule(
        lambda c: c.aggregation.disjoint and not c.submodel.disjoint,
        "aggregation",
        "{aggregation} writes each part back where it belongs, and the sub-models of {submodel} overlap; use "
        "{own}",
    ),
    Rule(
        lambda c: not c.coordination.selects and (c.selection.reads_loss or c.selection.depends_on_time),
        "selection",
        "is {selection}, and {coordination} keeps every device at work, so that there is nothing to select; "
        "leave selection out",
    ),
    Rule(
        lambda c: c.selection.takes_all and (c.number("concurrency") or c.devices) < c.devices,
        "selection",
        "{selection} sends out every device, and {coordination} keeps fewer at work; use uniform, or "
        "concurrency: {devices}",
    ),
)

CARE = (
    Rule(
        lambda c: c.growth.needs_accuracy and c.growth.split == "test",
        "growth",
        "{growth} looks at the accuracy on the test set, as FedGMR's release does: test figures of this run "
        "are not those of unseen data",
    ),
    Rule(
        lambda c: c.submodel.partial and c.coordination.merges_one and c.aggregation.one_at_a_time,
        "aggregation",
        "{aggregation} with {submodel}: each update moves only what it trained, so that what few devices "
        "train falls behind",
    ),
    Rule(
        lambda c: c.submodel.partial and not c.aggregation.keeps_untrained,
        "aggregation",
        "{aggregation} with {submodel}: what some devices lack shrinks and what none holds becomes 0; it "
        "is an ablation",
    ),
    Rule(
        lambda c: c.submodel.exact_coverage and not c.coordination.whole_rounds,
        "coordination",
        "{coordination} with {submodel}: updates that do not count break its equal coverage of the model",
    ),
    Rule(
        lambda c: (c.number("clients_per_round") or 0) * (c.number("tiers") or 1) > c.devices,
        "coordination.clients_per_round",
        "{coordination}: tiers have fewer devices than a round asks for; a round sends out its whole tier",
    ),
)

_WITHIN_FLEET = {
    "clients_per_round": "asks for {} devices",
    "concurrency": "keeps {} devices at work",
    "buffer": "waits for {} updates",
    "tiers": "makes {} tiers",
    "candidates": "draws {} candidates",
}


def problems(choices: Choices) -> list[Problem]:
    """Why these choices make no sense together, and what to do about it."""
    found = [Problem(rule.said(choices), rule.path) for rule in SENSELESS if rule.applies(choices)]
    return [*found, *_too_many(choices), *_no_choice(choices), *_unknown_reference(choices)]


def notes(choices: Choices) -> list[str]:
    """What needs care."""
    return [rule.said(choices) for rule in CARE if rule.applies(choices)]


def _too_many(choices: Choices) -> list[Problem]:
    found = []
    for key, does in _WITHIN_FLEET.items():
        wanted = choices.number(key)
        if wanted is not None and wanted > choices.devices:
            room = "coordination" if hasattr(choices.coordination, key) else "selection"
            most = choices.devices
            message = f"{does.format(wanted)}, but the fleet has {most}; give at most {most}"
            found.append(Problem(message, f"{room}.{key}"))
    return found


def _no_choice(choices: Choices) -> list[Problem]:
    candidates, places = choices.number("candidates"), choices.number("clients_per_round")
    if candidates is None or places is None or candidates >= places:
        return []
    message = f"draws {candidates} candidates for the {places} places of a round; draw more than places"
    return [Problem(message, "selection.candidates")]


def _unknown_reference(choices: Choices) -> list[Problem]:
    reference = getattr(choices.coordination, "reference", None)
    known = dict(choices.profiles)
    if not isinstance(reference, OfProfile) or reference.profile in known:
        return []
    hint = did_you_mean(reference.profile, known)
    message = f'no entry of the fleet is "{reference.profile}"{hint} (there are {", ".join(known)})'
    return [Problem(message, "coordination.reference.profile")]
