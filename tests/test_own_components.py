"""Components of one's own, `module:Class` beside a scenario: the shipped examples, one of each room."""

import json

import numpy as np
import pytest
import torch

from edgesim.aggregation._aggregator import Update
from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.experiment import execute
from edgesim.parts import prepare
from edgesim.registry import load_target
from edgesim.scenario import resolve
from tests.commands import edgesim

SCENARIO = "bring-your-own-parts"
DOCUMENT = open_document(SCENARIO)


def prepared(variant, *overrides):
    return prepare(resolve(DOCUMENT, variant, overrides))


def dispatches(variant, *overrides):
    """Devices and rounds of a run that trains nothing."""
    tables = execute(prepared(variant, *overrides), timing_only=True).tables
    return np.array(tables["dispatches"]["device"]), np.array(tables["dispatches"]["base_version"])


@pytest.mark.parametrize("variant", DOCUMENT.variants)
def test_every_example_learns(variant, tmp_path):
    done = edgesim(tmp_path, "run", SCENARIO, "--variant", variant, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["final"]["accuracy"] > 0.6  # by chance 0.1


def test_a_policy_of_ones_own_decides_how_many_are_sent_out():
    _, rounds = dispatches("growing-rounds", "stop.rounds=8")
    assert np.bincount(rounds).tolist() == [2, 3, 4, 5, 6, 7, 8, 8]


def test_a_method_of_ones_own_decides_what_is_trained():
    parts = prepared("taking-turns", "stop.rounds=6", "coordination.clients_per_round=8")
    table = execute(parts, timing_only=True).tables["coverage"]
    times = dict(zip(table["layer"], table["times_trained"], strict=True))
    assert list(times.values()) == [24, 24, 48]  # 8 devices by 6 visits: the hidden layers in turn


def test_a_growth_rule_of_ones_own_decides_who_grows():
    table = execute(prepared("one-at-a-time", "growth.every=2"), timing_only=True).tables["growth"]
    assert table["version"] == list(range(2, 21, 2))
    assert table["device"] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert table["capacity"] == [0.5] * 8 + [1.0] * 2


def test_a_selector_of_ones_own_decides_who_is_sent_out():
    devices, _ = dispatches("round-robin", "coordination.clients_per_round=3", "stop.rounds=8")
    assert devices.tolist() == [turn % 8 for turn in range(24)]


def test_an_aggregation_of_ones_own_decides_what_the_updates_make():
    median = load_target("coordinate_median:CoordinateMedian", DOCUMENT.path.parent)()
    before = {"w": torch.tensor([1.0, 1.0, 1.0, 1.0])}
    updates = [
        Update({"w": torch.tensor([2.0, 2.0, 2.0])}, 1.0, places={"w": (slice(0, 3),)}),
        Update(
            {"w": torch.tensor([3.0, 9.0, 7.0, 7.0])}, 1.0, {"w": torch.tensor([True, True, False, False])}
        ),
        Update({"w": torch.tensor([1e9, -1e9])}, 1.0, places={"w": (torch.tensor([0, 1]),)}),
    ]
    after, _ = median.aggregate(before, updates, {})
    assert after["w"].tolist() == [3.0, 2.0, 2.0, 1.0]  # of 2 3 1e9; of 2 9 -1e9; of 2; of none


@pytest.mark.parametrize("submodel", ["heterofl", "fedpmt"])
def test_an_aggregation_of_ones_own_merges_any_sub_models(submodel):
    outcome = execute(prepared("median", f"submodel={submodel}"))
    assert outcome.tables["evaluations"]["accuracy"][-1] > 0.5
    assert all(np.isfinite(value).all() for value in outcome.weights.values())


def test_a_data_set_of_ones_own_decides_who_holds_what():
    parts, plain = prepared("own-data"), prepared("plain")
    held = [set(parts.data.clients[parts.pool[shard]]) for shard in parts.shards]
    assert sorted(map(tuple, held)) == [(client,) for client in range(8)]
    upright, turned = plain.data.train_x[2, 0], parts.data.train_x[2, 0]  # client 2 writes upside down
    assert np.array_equal(turned, upright[::-1, ::-1])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "selection=growing_rounds:GrowingRounds",
            'selection: "growing_rounds:GrowingRounds" must be derived from '
            "edgesim.selection._selector.SelectionRule",
        ),
        (
            "coordination={name: growing_rounds:GrowingRounds, first: 2, mode: 1}",
            '"growing_rounds:GrowingRounds" has no parameter "mode"; did you mean "more"?',
        ),
        ("dataset=turned_digits:TurnedLetters", 'has no "TurnedLetters"; did you mean "TurnedDigits"?'),
        ("aggregation=coordinate_mean:Mean", 'cannot import module "coordinate_mean"'),
    ],
)
def test_what_is_wrong_with_ones_own_is_said(override, message):
    with pytest.raises(InputError) as caught:
        prepared("plain", override)
    assert message in str(caught.value)
