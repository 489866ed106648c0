"""What every aggregation must do, and what its class claims; single rules' laws are in tests/aggregation."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from edgesim import registry
from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._server_optimizer import ServerAdam, ServerSgd
from edgesim.aggregation._staleness import Poly
from edgesim.errors import RunFailed
from tests.aggregation.merging import merged, sent
from tests.contract._examples import example

OPTIMIZERS = [ServerSgd(), ServerSgd(learning_rate=0.5, momentum=0.9), ServerAdam(learning_rate=0.1)]


@pytest.fixture(params=registry.names("aggregation"))
def aggregator(request: pytest.FixtureRequest) -> Aggregator:
    return example(registry.builtin("aggregation", request.param))


def model(*values: float) -> dict[str, torch.Tensor]:
    return {"low": torch.tensor(values[:2]), "high": torch.tensor(values[2:])}


BEFORE = model(1.0, -2.0, 3.0, 0.5)
FIRST, LAST = ({name: torch.tensor(mask) for name in BEFORE} for mask in ([True, False], [False, True]))


def masks_of_two(aggregator: Aggregator) -> list[dict[str, torch.Tensor]]:
    """What two updates train: all, or a half each where they must not meet."""
    return [FIRST, LAST] if aggregator.disjoint else [{}, {}]


def test_it_is_a_frozen_component(aggregator: Aggregator) -> None:
    assert isinstance(aggregator, Aggregator)
    assert dataclasses.is_dataclass(aggregator)
    assert type(aggregator).__dataclass_params__.frozen


def test_fresh_updates_that_changed_nothing_change_nothing(aggregator: Aggregator) -> None:
    masks = masks_of_two(aggregator)
    after = merged(aggregator, BEFORE, [sent(BEFORE, BEFORE, 3.0, masks=trained) for trained in masks])
    assert all(torch.equal(after[name], BEFORE[name]) for name in BEFORE)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["plain", "momentum", "adam"])
def test_what_nobody_trained_keeps_its_bits_under_every_optimiser_as_claimed(
    aggregator: Aggregator, optimizer: ServerSgd | ServerAdam
) -> None:
    """Also where it was trained before, so that a momentum stands ready to move it."""
    aggregator = dataclasses.replace(aggregator, server_optimizer=optimizer)
    nine = torch.tensor([9.0, 9.0])
    first, moments = aggregator.aggregate(BEFORE, [sent(BEFORE, {"low": nine, "high": nine}, 2.0)], {})
    assert not torch.equal(first["low"], BEFORE["low"])
    masks = {"high": torch.tensor([True, False])}
    second, after = aggregator.aggregate(first, [sent(first, {"high": -nine}, 2.0, masks=masks)], moments)
    assert torch.equal(second["low"], first["low"])
    assert (second["high"] == first["high"]).tolist() == [False, aggregator.keeps_untrained]
    for then, now in zip(moments.get("high", ()), after.get("high", ()), strict=True):
        assert (then == now).tolist() == [False, aggregator.keeps_untrained]
    assert all(then is now for then, now in zip(moments.get("low", ()), after.get("low", ()), strict=True))


def test_it_takes_updates_one_at_a_time_and_keeps_none_of_their_memory(aggregator: Aggregator) -> None:
    """A trainer reuses the memory of a result once the next is asked for."""
    memory = {name: torch.empty(2) for name in BEFORE}

    masks = masks_of_two(aggregator)

    def stream():
        for value, trained in zip((1.0, 5.0), masks, strict=True):
            for tensor in memory.values():
                tensor.fill_(value)
            yield sent(BEFORE, memory, 1.0, masks=trained)

    streamed = merged(aggregator, BEFORE, stream())
    filled = [{name: torch.full((2,), value) for name in BEFORE} for value in (1.0, 5.0)]
    crowd = [sent(BEFORE, values, 1.0, masks=trained) for values, trained in zip(filled, masks, strict=True)]
    listed = merged(aggregator, BEFORE, crowd)
    assert all(torch.equal(streamed[name], listed[name]) for name in BEFORE)


def test_what_goes_in_is_left_as_it_was(aggregator: Aggregator) -> None:
    before, values = ({name: t.clone() for name, t in BEFORE.items()} for _ in range(2))
    values["low"] += 1
    copies = {name: t.clone() for name, t in values.items()}
    crowd = [sent(before, values, 2.0, masks=trained) for trained in masks_of_two(aggregator)]
    for tensor in merged(aggregator, before, crowd).values():
        tensor.fill_(7.0)
    assert all(torch.equal(before[name], BEFORE[name]) for name in BEFORE)
    assert all(torch.equal(values[name], copies[name]) for name in BEFORE)


def test_updates_that_meet_are_merged_unless_the_class_says_that_they_must_not(
    aggregator: Aggregator,
) -> None:
    crowd = [sent(BEFORE, BEFORE, 1.0)] * 2
    if aggregator.disjoint:
        with pytest.raises(RunFailed, match='"low"'):
            merged(aggregator, BEFORE, crowd)
    else:
        assert merged(aggregator, BEFORE, crowd).keys() == BEFORE.keys()


def test_a_cut_is_merged_where_it_lies_and_nowhere_else(aggregator: Aggregator) -> None:
    before = {"w": torch.arange(6.0).reshape(2, 3)}
    place = (slice(0, 1), torch.tensor([0, 2]))
    held = before["w"][:1, [0, 2]]
    cut = Update({"w": held + 1}, 1.0, places={"w": place}, base={"w": held})
    after = merged(aggregator, before, [cut])
    whole = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    masked = sent(before, {"w": before["w"] + 1}, 1.0, masks={"w": whole > 0})
    if aggregator.keeps_untrained:
        assert ((after["w"] > before["w"]) == (whole > 0)).all()
    assert torch.equal(after["w"], merged(aggregator, before, [masked])["w"])


def test_an_old_update_goes_no_further_than_a_fresh_one(aggregator: Aggregator) -> None:
    if aggregator.disjoint:
        with pytest.raises(ValueError, match="leave out weights and staleness"):
            dataclasses.replace(aggregator, staleness=Poly(exponent=0.5))
        return
    discounting = dataclasses.replace(aggregator, staleness=Poly(exponent=0.5))
    up = {name: value + 1 for name, value in BEFORE.items()}
    fresh, old = (merged(discounting, BEFORE, [sent(BEFORE, up, 2.0, staleness=age)]) for age in (0, 8))
    for name in BEFORE:
        assert (fresh[name] >= old[name]).all()
        assert (old[name] > BEFORE[name]).all()
    undiscounted = (merged(aggregator, BEFORE, [sent(BEFORE, up, 2.0, staleness=age)]) for age in (0, 8))
    assert len({str(after) for after in undiscounted}) == 1
