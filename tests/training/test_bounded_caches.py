"""Methods whose widths change with every visit: what was made for a width goes when nobody asks for it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping, Sequence

import pytest
import torch

from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.feddrop import FedDrop
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.cohorts import Execution
from edgesim.training.federation import Federation
from edgesim.training.held import HeldStructures
from tests.training.federations import federation, run_round, same_bits, weights_after
from tests.training.visits import jobs, make, trained, trainer

CHANGING = FedDrop(keep=0.5, mode="bernoulli")
HALF = [0.5] * 4
ROUNDS = 5


def held(learner: Federation) -> list[int]:
    """Structures, networks with names, and networks with plans, that are still there."""
    gc.collect()
    kept: tuple[Mapping[object, object], ...] = (
        learner.ledger._held._alive,
        learner._parts,
        learner.trainer._plans,
        learner.trainer._scratch,
    )
    return [len(each) for each in kept]


def learner_of(
    strategy: SubmodelStrategy, capacity: Sequence[float], spare: int, mode: str = "sequential"
) -> Federation:
    learner = federation(strategy, capacity, execution=Execution(mode=mode))
    learner.ledger._held = HeldStructures(spare)
    for each in set(capacity):  # as when a run is prepared
        learner.ledger.expected(each)
    return learner


def test_so_many_structures_are_kept_and_what_hangs_on_them() -> None:
    learner = learner_of(CHANGING, HALF, spare=2)
    for version in range(ROUNDS):
        run_round(learner, version, range(4))
        assert max(held(learner)) <= 2 + 1


def test_with_more_room_that_run_keeps_more() -> None:
    learner = learner_of(CHANGING, HALF, spare=64)
    weights_after(learner, ROUNDS)
    assert min(held(learner)) > 2 + 1


@pytest.mark.parametrize("mode", ["sequential", "stacked"])
def test_what_is_forgotten_and_made_again_gives_the_same_bits(mode: str) -> None:
    forgetful, other = (learner_of(CHANGING, HALF, spare, mode) for spare in (0, 64))
    assert same_bits(weights_after(forgetful, ROUNDS), weights_after(other, ROUNDS))


def test_constant_widths_are_read_once_however_many_capacities_there_are() -> None:
    capacity = (0.25, 0.5, 0.75, 0.9)
    learner = learner_of(HeteroFL(masked_classes=False), capacity, spare=0)
    networks = []
    for version in range(2):
        run_round(learner, version, range(4))
        networks.append([learner.ledger.structure_of(learner.ledger.expected(c)).network for c in capacity])
    assert networks[0] == networks[1]


def test_a_plan_goes_with_its_network_and_never_serves_another() -> None:
    made = trainer(make("mlp"))
    network = make("mlp")
    trained(made, jobs(network, (5,)))
    plans = made._plans[network]
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None
    assert len(made._plans) == 0
    assert len(plans) == 1
    other = make("cnn")  # which may well lie where that one lay
    (result,) = trained(made, jobs(other, (5,)))
    assert torch.isfinite(result["loss"])
