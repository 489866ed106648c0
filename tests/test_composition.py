"""Which choices make sense together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from edgesim.aggregation._aggregator import Aggregator
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.fill import Fill
from edgesim.composition import Choices, notes, problems
from edgesim.coordination._policy import CoordinationPolicy
from edgesim.coordination._reference import OfProfile
from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.buffered import Buffered
from edgesim.coordination.deadline import Deadline
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.coordination.tiered import Tiered
from edgesim.registry import component
from edgesim.selection.all import All
from edgesim.selection.oort import Oort
from edgesim.selection.power_of_choice import PowerOfChoice
from edgesim.selection.uniform import Uniform
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from tests.scenarios import changed, refusal, scenario


@component
class Mixing(Aggregator):
    one_at_a_time: ClassVar[bool] = True


@component
class Adding(Aggregator):
    needs_base: ClassVar[bool] = True


@component
class WritingBack(Aggregator):
    disjoint: ClassVar[bool] = True


@component
class Parts(SubmodelStrategy):
    disjoint: ClassVar[bool] = True


@component
class Rolling(SubmodelStrategy):
    exact_coverage: ClassVar[bool] = True


SYNCHRONOUS = Synchronous(clients_per_round=4)
DEADLINE = Deadline(clients_per_round=4, deadline=9.0)
TIERED = Tiered(clients_per_round=4, tiers=2)
SEMI = SemiAsynchronous()
ARRIVALS = SemiAsynchronous(buffer_mode="arrivals")
ASYNCHRONOUS = Asynchronous(concurrency=4)
BUFFERED = Buffered(buffer=3, concurrency=4)

CHOICES = Choices(Full(), Uniform(), SYNCHRONOUS, Covered(), (("pixel-6", 8), ("raspberry-pi-4", 2)))


def said(**chosen: Any) -> list[str]:
    return [str(problem) for problem in problems(replace(CHOICES, **chosen))]


@pytest.mark.parametrize("submodel", [Full(), FedPMT(), Rolling()])
@pytest.mark.parametrize(
    ("coordination", "aggregation"),
    [
        (SYNCHRONOUS, Covered()),
        (SYNCHRONOUS, Fill()),
        (SYNCHRONOUS, Adding()),
        (DEADLINE, Covered()),
        (TIERED, Covered()),
        (SEMI, Covered()),
        (ARRIVALS, Adding()),
        (ASYNCHRONOUS, Mixing()),
        (ASYNCHRONOUS, Adding()),
        (BUFFERED, Adding()),
        (BUFFERED, Covered()),
    ],
)
def test_what_the_table_calls_meaningful_is_accepted(
    submodel: SubmodelStrategy, coordination: CoordinationPolicy, aggregation: Aggregator
) -> None:
    assert said(submodel=submodel, coordination=coordination, aggregation=aggregation) == []


@pytest.mark.parametrize("coordination", [SYNCHRONOUS, DEADLINE, TIERED, SEMI, BUFFERED])
def test_mixing_needs_a_policy_that_merges_one_update_at_a_time(coordination: CoordinationPolicy) -> None:
    (message,) = said(coordination=coordination, aggregation=Mixing())
    assert message.startswith('aggregation: "tests.test_composition:Mixing" is for one update at a time, and')
    assert message.endswith('use "covered", or coordination: asynchronous')


@pytest.mark.parametrize("aggregation", [Covered(), Fill()])
def test_an_average_of_one_update_would_replace_the_model(aggregation: Aggregator) -> None:
    (message,) = said(coordination=ASYNCHRONOUS, aggregation=aggregation)
    assert "each would take the model's place; use mix" in message


def test_changes_are_not_added_again_in_every_round() -> None:
    (message,) = said(coordination=SEMI, aggregation=Adding())
    assert "use buffer_mode: arrivals" in message


@pytest.mark.parametrize("coordination", [DEADLINE, SEMI, ARRIVALS, BUFFERED, ASYNCHRONOUS])
def test_disjoint_parts_need_whole_rounds(coordination: CoordinationPolicy) -> None:
    (message, *_) = [
        line
        for line in said(submodel=Parts(), coordination=coordination, aggregation=WritingBack())
        if line.startswith("coordination:")
    ]
    assert message.endswith("the rest would be holes; use synchronous")


@pytest.mark.parametrize("coordination", [SYNCHRONOUS, TIERED])
def test_disjoint_parts_of_whole_rounds_are_written_back(coordination: CoordinationPolicy) -> None:
    assert said(submodel=Parts(), coordination=coordination, aggregation=WritingBack()) == []


def test_overlapping_submodels_are_not_written_back() -> None:
    (message,) = said(aggregation=WritingBack())
    assert message.endswith('the sub-models of "full" overlap; use "covered"')


def test_where_everybody_works_all_the_time_there_is_nothing_to_select() -> None:
    (message,) = said(coordination=SEMI, selection=Oort())
    assert message.startswith('selection: is "oort", and "semi_asynchronous" keeps every device at work')
    assert said(coordination=SEMI, selection=All()) == []


@pytest.mark.parametrize("concurrency", [9, 10])
def test_all_devices_go_out_only_where_all_are_to_be_at_work(concurrency: int) -> None:
    found = said(coordination=Asynchronous(concurrency=concurrency), aggregation=Mixing(), selection=All())
    assert [line.startswith('selection: "all" sends out every device') for line in found] == [True] * (
        concurrency < 10
    )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"coordination": Synchronous(clients_per_round=11)}, "clients_per_round: asks for 11 devices"),
        ({"coordination": Buffered(buffer=3, concurrency=11)}, "concurrency: keeps 11 devices at work"),
        ({"coordination": Buffered(buffer=11, concurrency=4)}, "buffer: waits for 11 updates"),
        ({"coordination": Tiered(clients_per_round=1, tiers=11)}, "tiers: makes 11 tiers"),
    ],
)
def test_more_than_the_fleet_has_is_refused(chosen: dict[str, Any], message: str) -> None:
    assert f"coordination.{message}, but the fleet has 10; give at most 10" in said(**chosen)


def test_candidates_are_as_many_as_the_fleet_has_at_most_and_more_than_places() -> None:
    assert said(selection=PowerOfChoice(candidates=11)) == [
        "selection.candidates: draws 11 candidates, but the fleet has 10; give at most 10"
    ]
    assert said(selection=PowerOfChoice(candidates=3)) == [
        "selection.candidates: draws 3 candidates for the 4 places of a round; draw more than places"
    ]


def test_a_reference_profile_is_one_of_the_fleet() -> None:
    assert said(coordination=SemiAsynchronous(reference=OfProfile(profile="pixel-5"))) == [
        'coordination.reference.profile: no entry of the fleet is "pixel-5"; did you mean "pixel-6"? '
        "(there are pixel-6, raspberry-pi-4)"
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"submodel": FedPMT(), "coordination": ASYNCHRONOUS, "aggregation": Mixing()}, "falls behind"),
        (
            {"submodel": Rolling(), "coordination": BUFFERED, "aggregation": Adding()},
            "break its equal coverage",
        ),
        ({"coordination": Tiered(clients_per_round=6, tiers=2)}, "a round sends out its whole tier"),
    ],
)
def test_what_needs_care_is_noted(chosen: dict[str, Any], expected: str) -> None:
    (note,) = notes(replace(CHOICES, **chosen))
    assert expected in note


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"coordination": ASYNCHRONOUS, "aggregation": Mixing()},
        {"submodel": Rolling(), "coordination": TIERED},
    ],
)
def test_what_is_meaningful_needs_no_note(chosen: dict[str, Any]) -> None:
    assert notes(replace(CHOICES, **chosen)) == []


SEMI_ASYNCHRONOUS = "name: semi_asynchronous\n  reference: "


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("fastest", "fastest"),
        ("{profile: pixel-6}", OfProfile(profile="pixel-6")),
        ("{fraction: 0.1}", {"fraction": 0.1}),
    ],
)
def test_a_scenario_names_its_reference_in_three_ways(written: str, read: Any) -> None:
    text = changed("name: synchronous\n  clients_per_round: 2", SEMI_ASYNCHRONOUS + written)
    found = scenario(text).coordination
    assert isinstance(found, SemiAsynchronous)
    assert (vars(found.reference) if isinstance(read, dict) else found.reference) == read
    assert scenario(scenario(text).to_yaml()) == scenario(text)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("slowest", "x.yaml:8: coordination.reference: must be 'fastest', got \"slowest\""),
        (
            "{fraction: 2}",
            "x.yaml:8: coordination.reference.fraction: must be at most 1, got 2",
        ),
        ("{share: 1}", "x.yaml:8: coordination.reference.fraction: is missing, and it is required"),
    ],
)
def test_a_wrong_reference_is_refused_where_it_stands(written: str, message: str) -> None:
    text = changed("name: synchronous\n  clients_per_round: 2", SEMI_ASYNCHRONOUS + written)
    assert refusal(text)[0].startswith(message)


def test_a_scenario_gives_each_tier_a_weight() -> None:
    tiered = "name: tiered\n  clients_per_round: 1\n  tiers: 2\n  probabilities: "
    text = changed("name: synchronous\n  clients_per_round: 2", tiered + "[0.7, 0.3]")
    assert scenario(text).coordination == Tiered(clients_per_round=1, tiers=2, probabilities=(0.7, 0.3))
    (message,) = refusal(changed("name: synchronous\n  clients_per_round: 2", tiered + "[1]"))
    assert message.endswith("probabilities needs a weight for each of 2 tiers, not all of them 0")
    (message,) = refusal(changed("name: synchronous\n  clients_per_round: 2", tiered + "random"))
    assert message.startswith(
        "x.yaml:10: coordination.probabilities: must be 'adaptive', 'uniform', 'fast' or"
    )


def test_a_pair_that_makes_no_sense_is_refused_at_its_line() -> None:
    text = changed("name: synchronous\n  clients_per_round: 2", "{name: asynchronous, concurrency: 2}")
    (message,) = refusal(text + "aggregation: covered\n")
    assert message.startswith(
        'x.yaml:9: aggregation: "covered" averages, and "asynchronous" merges one update'
    )
