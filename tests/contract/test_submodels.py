"""What every sub-model method must do, on a small network with two convolutions and one linear layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from edgesim import registry
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel, SubmodelStrategy
from edgesim.training.accounting import LocalWork
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Sgd
from tests.contract._examples import example
from tests.training.federations import federation, order, run_round, same_bits, weights_after
from tests.training.visits import make

WORK = LocalWork(epochs=1, steps=None, batch_size=5)


@pytest.fixture(params=registry.names("submodels"))
def strategy(request: pytest.FixtureRequest) -> SubmodelStrategy:
    return example(registry.builtin("submodels", request.param))


@pytest.fixture(scope="module")
def structure() -> ModelStructure:
    return read_structure(make("conv", torch.float32), (1, 6, 6))


def assigned(
    strategy: SubmodelStrategy, structure: ModelStructure, capacity: float, visit: int = 0
) -> Submodel:
    context = Context(device=1, visit=visit, version=0, capacity=capacity, streams=Streams(3))
    return strategy.assign({}, structure, context)


def alike(one: Submodel, other: Submodel) -> bool:
    """Whether two sub-models are the same part of the model."""
    same_cut = (one.cut is None) == (other.cut is None) and (
        one.cut is None or all(map(np.array_equal, one.cut.kept, other.cut.kept))
    )
    same_mask = (one.mask is None) == (other.mask is None) and (
        one.mask is None
        or all(np.array_equal(mask, other.mask.tensors[name]) for name, mask in one.mask.tensors.items())
    )
    plain = ("label", "capacity", "layers", "mask_bytes", "scaler", "share", "key")
    return same_cut and same_mask and all(getattr(one, name) == getattr(other, name) for name in plain)


def capacities(strategy: SubmodelStrategy, structure: ModelStructure) -> Sequence[float]:
    """One per device: the whole ladder, as far as four devices can show it, the largest among them."""
    ladder = strategy.ladder(structure)
    return [ladder[-1 - place % len(ladder)] for place in range(4)]


def test_it_is_a_frozen_component(strategy: SubmodelStrategy) -> None:
    assert isinstance(strategy, SubmodelStrategy)
    assert dataclasses.is_dataclass(strategy)
    assert type(strategy).__dataclass_params__.frozen


def test_its_own_aggregation_is_a_component(strategy: SubmodelStrategy) -> None:
    assert strategy.aggregation in registry.names("aggregation")


def test_its_ladder_rises(strategy: SubmodelStrategy, structure: ModelStructure) -> None:
    ladder = strategy.ladder(structure)
    assert ladder
    assert list(ladder) == sorted(set(ladder))


def test_the_same_context_gives_the_same_submodel(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    for capacity in strategy.ladder(structure):
        made = assigned(strategy, structure, capacity)
        assert alike(made, assigned(strategy, structure, capacity))
        assert made.capacity == capacity
        assert made.label


def test_what_it_costs_never_shrinks_as_capacity_grows_and_never_exceeds_the_full_model(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    whole = Submodel(label="whole", capacity=1.0, layers=structure.all_layers)
    ledger = Ledger(structure, strategy, WORK, Sgd(momentum=0.9), np.array([17]), np.array([1.0]))
    costs = [
        ledger.workload_of(submodel, 17)
        for submodel in (*(assigned(strategy, structure, c) for c in strategy.ladder(structure)), whole)
    ]
    for name in ("train_flops", "bytes_up", "memory_bytes", "density"):
        column = [getattr(cost, name) for cost in costs]
        assert column == sorted(column)
    overhead = max(assigned(strategy, structure, c).mask_bytes for c in strategy.ladder(structure))
    assert max(cost.bytes_down for cost in costs) <= costs[-1].bytes_down + overhead


def test_what_no_update_covers_keeps_its_value(strategy: SubmodelStrategy) -> None:
    learner = learner_of(strategy)
    smallest = min(range(4), key=lambda device: learner.ledger.capacity[device])
    before = dict(learner.weights)
    run_round(learner, 0, [smallest])
    for name, times in zip(*(learner.coverage()[key] for key in ("tensor", "times_trained")), strict=True):
        assert times or torch.equal(before[str(name)], learner.weights[str(name)])


def test_updates_without_a_step_change_nothing(strategy: SubmodelStrategy) -> None:
    learner = learner_of(strategy)
    learner.learning_rate = lambda version: 0.0  # noqa: ARG005
    before = dict(learner.weights)
    assert same_bits(before, weights_after(learner, rounds=2))


def test_the_order_of_updates_matters_to_rounding_alone(strategy: SubmodelStrategy) -> None:
    forward, backward = learner_of(strategy), learner_of(strategy)
    run_round(forward, 0, [0, 1, 2, 3])
    run_round(backward, 0, [3, 2, 1, 0])
    assert largest_difference(forward.weights, backward.weights) < 1e-12


def test_at_its_largest_capacity_it_is_fedavg_where_its_class_claims_so(strategy: SubmodelStrategy) -> None:
    if not strategy.full_is_fedavg:
        pytest.skip("makes no such claim")
    largest = strategy.ladder(structure_of_conv())[-1]
    own, fedavg = (
        federation(*method, network=make("conv", torch.float32), dtype=torch.float32)
        for method in ((strategy, [largest] * 4), ())
    )
    assert same_bits(weights_after(own, rounds=2), weights_after(fedavg, rounds=2))


def test_what_it_costs_is_known_before_the_weights_are_unless_its_class_claims_otherwise(
    strategy: SubmodelStrategy,
) -> None:
    if strategy.costs_need_weights:
        pytest.skip("its costs depend on the weights")
    learner = learner_of(strategy)
    books = learner.ledger.fresh()
    orders = [order(device, device) for device in range(4)]
    assert learner.assign(orders) == books.assign(orders)


def structure_of_conv() -> ModelStructure:
    return read_structure(make("conv", torch.float32), (1, 6, 6))


def learner_of(strategy: SubmodelStrategy):
    return federation(strategy, capacities(strategy, structure_of_conv()), network=make("conv"))


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)
