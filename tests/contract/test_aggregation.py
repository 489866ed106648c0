"""What every aggregation must do with whole tensors; the laws of single rules are in tests/aggregation."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgesim import registry
from edgesim.aggregation._aggregator import Aggregator, Update
from tests.contract._examples import example


@pytest.fixture(params=registry.names("aggregation"))
def aggregator(request: pytest.FixtureRequest) -> Aggregator:
    return example(registry.builtin("aggregation", request.param))


def model(*values: float) -> dict[str, torch.Tensor]:
    return {"low": torch.tensor(values[:2]), "high": torch.tensor(values[2:])}


BEFORE = model(1.0, -2.0, 3.0, 0.5)


def test_it_is_a_frozen_component(aggregator: Aggregator) -> None:
    assert isinstance(aggregator, Aggregator)
    assert dataclasses.is_dataclass(aggregator)
    assert type(aggregator).__dataclass_params__.frozen


def test_fresh_updates_that_changed_nothing_change_nothing(aggregator: Aggregator) -> None:
    merged = aggregator.aggregate(BEFORE, [Update(BEFORE, 3.0), Update(BEFORE, 5.0)])
    assert all(torch.equal(merged[name], BEFORE[name]) for name in BEFORE)


def test_a_tensor_that_nobody_sent_keeps_its_bits(aggregator: Aggregator) -> None:
    merged = aggregator.aggregate(BEFORE, [Update({"high": torch.tensor([9.0, 9.0])}, 2.0)])
    assert torch.equal(merged["low"], BEFORE["low"])
    assert not torch.equal(merged["high"], BEFORE["high"])


def test_it_takes_updates_one_at_a_time_and_keeps_none_of_their_memory(aggregator: Aggregator) -> None:
    """A trainer reuses the memory of a result once the next is asked for."""
    memory = {name: torch.empty(2) for name in BEFORE}

    def stream():
        for value in (1.0, 5.0):
            for tensor in memory.values():
                tensor.fill_(value)
            yield Update(memory, 1.0)

    streamed = aggregator.aggregate(BEFORE, stream())
    listed = aggregator.aggregate(
        BEFORE, [Update({name: torch.full((2,), value) for name in BEFORE}, 1.0) for value in (1.0, 5.0)]
    )
    assert all(torch.equal(streamed[name], listed[name]) for name in BEFORE)


def test_what_goes_in_is_left_as_it_was(aggregator: Aggregator) -> None:
    before, values = ({name: t.clone() for name, t in BEFORE.items()} for _ in range(2))
    values["low"] += 1
    sent = {name: t.clone() for name, t in values.items()}
    merged = aggregator.aggregate(before, [Update(values, 2.0), Update(values, 1.0)])
    for tensor in merged.values():
        tensor.fill_(7.0)
    assert all(
        torch.equal(before[name], BEFORE[name]) and torch.equal(values[name], sent[name]) for name in sent
    )
