"""What every sub-model method must do, on a small network with two convolutions and two linear layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from edgesim import registry
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel, SubmodelStrategy
from edgesim.training.accounting import LocalWork
from edgesim.training.federation import Federation
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Sgd
from tests.contract._examples import example
from tests.contract._zoo import held
from tests.training.federations import federation, order, same_bits, weights_after
from tests.training.visits import make

WORK = LocalWork(epochs=1, steps=None, batch_size=5)


@pytest.fixture(params=registry.names("submodels"))
def strategy(request: pytest.FixtureRequest) -> SubmodelStrategy:
    return example(registry.builtin("submodels", request.param))


@pytest.fixture(scope="module")
def structure() -> ModelStructure:
    return read_structure(make("cnn", torch.float32), (1, 6, 6))


def assigned(
    strategy: SubmodelStrategy, structure: ModelStructure, capacity: float, visit: int = 0, version: int = 0
) -> Submodel:
    context = Context(device=1, visit=visit, version=version, capacity=capacity, streams=Streams(3))
    return strategy.assign({}, structure, context)


def trained_of(structure: ModelStructure, submodel: Submodel) -> dict[str, Tensor]:
    """Per parameter, which of its coordinates a sub-model trains."""
    trained = {}
    names = set(structure.trained_tensors(submodel.layers)) - submodel.frozen
    for name, parameter in structure.network.named_parameters():
        own = torch.full(parameter.shape, name in names)
        if submodel.cut is not None:
            own &= held(structure.units, submodel.cut, name, tuple(parameter.shape))
        if submodel.mask is not None and name in submodel.mask.tensors:
            own &= torch.from_numpy(submodel.mask.tensors[name])
        trained[name] = own
    return trained


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


def test_what_a_device_does_not_train_keeps_its_bits_under_momentum_and_weight_decay(
    strategy: SubmodelStrategy,
) -> None:
    learner = learner_of(strategy)
    smallest = min(range(4), key=lambda device: learner.ledger.capacity[device])
    before = dict(learner.weights)
    learner.assign([order(0, smallest), order(1, 3 - smallest)])
    trained = trained_of(learner.ledger.structure, learner.ledger.open[0].submodel)
    learner.release([1])
    learner.aggregate([0], [0], 0.0)
    for name, own in trained.items():
        assert torch.equal(before[name][~own], learner.weights[name][~own])
    assert any(not torch.equal(before[name], learner.weights[name]) for name in trained)


def test_of_one_version_a_smaller_capacity_holds_a_part_of_what_a_larger_one_holds(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    if not strategy.nested:
        pytest.skip("makes no such claim")
    for version in (0, 1, 5):
        made = [
            trained_of(structure, assigned(strategy, structure, capacity, visit=version, version=version))
            for capacity in strategy.ladder(structure)
        ]
        for less, more in pairwise(made):
            assert all(bool((more[name] | ~less[name]).all()) for name in less)


def test_devices_that_leave_together_train_disjoint_parts(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    if not strategy.disjoint:
        pytest.skip("makes no such claim")
    for together in (1, 2, 4):
        contexts = [
            Context(place, 0, 1, strategy.fixed_capacity(), place, together, Streams(3))
            for place in range(together)
        ]
        made = [trained_of(structure, strategy.assign({}, structure, context)) for context in contexts]
        for name in made[0]:
            assert sum(own[name].int() for own in made).max() <= 1


def test_over_the_visits_of_an_epoch_a_device_trains_all_coordinates_equally_often(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    if not strategy.exact_coverage:
        pytest.skip("makes no such claim")
    for capacity in strategy.ladder(structure):
        visits = range(round(1 / capacity))
        made = [trained_of(structure, assigned(strategy, structure, capacity, visit)) for visit in visits]
        for name in made[0]:
            assert torch.unique(sum(own[name].int() for own in made)).tolist() == [1]


def test_a_cut_keeps_at_least_one_unit_of_each_group_in_order(
    strategy: SubmodelStrategy, structure: ModelStructure
) -> None:
    for capacity in strategy.ladder(structure):
        cut = assigned(strategy, structure, capacity).cut
        for group, units in zip(
            structure.units.groups, () if cut is None else cut.kept, strict=cut is not None
        ):
            assert 0 <= units[0] <= units[-1] < group.size
            assert (np.diff(units) > 0).all()


def test_updates_without_a_step_change_nothing(strategy: SubmodelStrategy) -> None:
    learner = learner_of(strategy)
    learner.learning_rate = lambda version: 0.0  # noqa: ARG005
    before = dict(learner.weights)
    assert same_bits(before, weights_after(learner, rounds=2))


def test_the_order_of_updates_matters_to_rounding_alone(strategy: SubmodelStrategy) -> None:
    after = []
    for merged in ([0, 1, 2, 3], [3, 2, 1, 0]):
        learner = learner_of(strategy)
        learner.assign([order(device, device) for device in range(4)])
        learner.aggregate(merged, [0] * 4, 0.0)
        after.append(learner.weights)
    assert largest_difference(*after) < 1e-12


def test_at_its_largest_capacity_it_is_fedavg_where_its_class_claims_so(strategy: SubmodelStrategy) -> None:
    if not strategy.full_is_fedavg:
        pytest.skip("makes no such claim")
    largest = strategy.ladder(structure_of_cnn())[-1]
    own = federation(strategy, [largest] * 4, network=make("cnn", torch.float32), dtype=torch.float32)
    assert same_bits(weights_after(own, rounds=2), weights_of_fedavg())


@cache
def weights_of_fedavg() -> dict[str, Tensor]:
    fedavg = federation(network=make("cnn", torch.float32), dtype=torch.float32)
    return weights_after(fedavg, rounds=2)


def test_what_it_costs_is_known_before_the_weights_are(strategy: SubmodelStrategy) -> None:
    """Which layers a mask thins out may hang on them, but seconds only do under `cost.sparse_speedup`."""
    learner = learner_of(strategy)
    books = learner.ledger.fresh()
    orders = [order(device, device) for device in range(4)]
    assert learner.assign(orders) == books.assign(orders)


def structure_of_cnn() -> ModelStructure:
    return read_structure(make("cnn", torch.float32), (1, 6, 6))


def learner_of(strategy: SubmodelStrategy) -> Federation:
    """A federation at its begin."""
    begin = _begin(strategy)
    return replace(begin, ledger=begin.ledger.fresh(), _bases={}, _losses={}, _moments={}, _latest={})


@cache
def _begin(strategy: SubmodelStrategy) -> Federation:
    """Never run itself; those made of it share its networks and step plans, which take seconds to make."""
    sizes = capacities(strategy, structure_of_cnn())
    return federation(strategy, sizes, network=make("cnn"), optimizer=Sgd(momentum=0.9, weight_decay=0.1))


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)
