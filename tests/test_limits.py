"""Whole runs that must come to the same: limits of one coordination policy in which it is another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgesim.experiment import Outcome, execute
from edgesim.parts import Parts, prepare
from edgesim.rng import Streams
from edgesim.scenario import resolve
from edgesim.training.batches import draw_batches
from tests.scenarios import document

FEDERATION = """\
name: limits
seed: 5
model: {name: mlp, hidden: [16]}
dataset: {name: digits, partition: {name: dirichlet, alpha: 0.5}}
fleet:
  - {profile: jetson-orin-nano, count: 4, network: lte}
  - profile: raspberry-pi-4
    count: 4
    straggler: {probability: 0.3, slowdown: {dist: lognormal, sigma: 0.5}}
training: {epochs: 1, batch_size: 16, learning_rate: 0.1}
evaluate: {every: 4 round}
"""

ALONE = """\
name: alone
seed: 5
model: {name: mlp, hidden: [16]}
dataset: digits
fleet: [{profile: raspberry-pi-4, count: 1}]
training: {steps: 20, batch_size: 16, learning_rate: 0.1}
stop: {dispatches: 6}
"""

MIX = "{name: mix, mixing: 1}"


def parts(base: str, coordination: str, aggregation: str, stop: str = "") -> Parts:
    text = f"{base}coordination: {coordination}\naggregation: {aggregation}\n{stop}"
    return prepare(resolve(document(text)))


def ran(coordination: str, aggregation: str, stop: str) -> Outcome:
    return execute(parts(FEDERATION, coordination, aggregation, f"stop: {stop}\n"))


def difference(one: Outcome, other: Outcome) -> float:
    assert one.weights is not None
    assert other.weights is not None
    assert one.weights.keys() == other.weights.keys()
    return max(float(np.abs(one.weights[name] - other.weights[name]).max()) for name in one.weights)


def assert_same_timeline(one: Outcome, other: Outcome) -> None:
    for table in ("dispatches", "aggregations"):
        for column, values in one.tables[table].items():
            if column != "train_loss":
                assert values == other.tables[table][column], column


def test_with_an_endless_deadline_a_run_is_the_synchronous_one_to_the_last_bit() -> None:
    synchronous = ran("{name: synchronous, clients_per_round: 4}", "covered", "{rounds: 8}")
    patient = "{name: deadline, clients_per_round: 4, over_selection: 1, deadline: 1e12 s}"
    waiting = ran(patient, "covered", "{rounds: 8}")
    assert repr(waiting.tables) == repr(synchronous.tables)
    assert difference(waiting, synchronous) == 0


def test_a_buffer_of_one_that_replaces_the_model_is_the_asynchronous_run_to_the_last_bit() -> None:
    asynchronous = ran("{name: asynchronous, concurrency: 4}", MIX, "{rounds: 24}")
    buffered = ran("{name: buffered, buffer: 1, concurrency: 4}", MIX, "{rounds: 24}")
    assert max(buffered.tables["dispatches"]["staleness"][:20]) > 1
    assert repr(buffered.tables) == repr(asynchronous.tables)
    assert difference(buffered, asynchronous) == 0


def test_without_delay_adding_what_a_client_changed_is_taking_its_model() -> None:
    asynchronous = ran("{name: asynchronous, concurrency: 1}", MIX, "{rounds: 16}")
    buffered = ran("{name: buffered, buffer: 1, concurrency: 1}", "delta", "{rounds: 16}")
    assert set(buffered.tables["dispatches"]["staleness"]) == {0}
    assert_same_timeline(buffered, asynchronous)
    assert difference(buffered, asynchronous) < 1e-6


def plain_sgd(alone: Parts, visits: int) -> dict[str, torch.Tensor]:
    """The weights after so many visits of the only device, by a loop of plain PyTorch."""
    network, streams = alone.network, Streams(alone.scenario.seeds.learning)
    shard = alone.pool[alone.shards[0]]
    sgd = torch.optim.SGD(network.parameters(), lr=0.1)
    for visit in range(visits):
        for batch in draw_batches(streams, 0, visit, len(shard), alone.ledger.work):
            x, y = alone.data.train_x[shard[batch]], alone.data.train_y[shard[batch]]
            sgd.zero_grad()
            functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(y)).backward()
            sgd.step()
    return {name: p.detach() for name, p in network.named_parameters()}


@pytest.mark.parametrize(
    ("coordination", "aggregation"),
    [
        ("{name: synchronous, clients_per_round: 1}", "covered"),
        ("{name: asynchronous, concurrency: 1}", MIX),
        ("{name: buffered, buffer: 1, concurrency: 1}", "delta"),
    ],
)
def test_a_run_of_one_client_is_plain_sgd(coordination: str, aggregation: str) -> None:
    alone = parts(ALONE, coordination, aggregation)
    found = execute(alone)
    assert found.weights is not None
    assert found.tables["aggregations"]["version"][-1] == 6
    expected = plain_sgd(alone, 6)
    for name, values in expected.items():
        assert np.abs(found.weights[name] - values.numpy()).max() < 1e-6
