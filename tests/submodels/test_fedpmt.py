"""FedPMT: the whole forward pass, a suffix trained (algorithms 3.2; P15, P17, P18)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edgesim.aggregation.covered import Covered
from edgesim.errors import InputError
from edgesim.models._structure import read_structure
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.fedpmt import FedPMT
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution
from edgesim.training.federation import Federation
from edgesim.training.optimizer import Sgd
from tests.training.federations import federation, order, same_bits, weights_after
from tests.training.visits import make

STRUCTURE = read_structure(make("mlp", torch.float32), (1, 6, 6))  # three layers
ADAPTER = TypeAdapter(FedPMT)
DEPTHS = st.lists(st.integers(1, 3), min_size=4, max_size=4)
LEARNER = federation(FedPMT(), optimizer=Sgd(0.9, 0.1))  # one for all examples, as it keeps its step plans
START = dict(LEARNER.weights)


def anew(depths: list[int]) -> Federation:
    LEARNER.ledger = replace(LEARNER.ledger.fresh(), capacity=np.array(depths, dtype=np.float64))
    LEARNER.weights = dict(START)
    return LEARNER


def submodel(capacity: float | None) -> Submodel:
    return FedPMT().assign({}, STRUCTURE, Context(0, 0, 0, capacity))


def test_a_depth_counts_layers_from_the_classifier() -> None:
    assert FedPMT().ladder(STRUCTURE) == (1.0, 2.0, 3.0)
    assert [submodel(depth).layers for depth in (1.0, 2.0, 3.0)] == [{2}, {1, 2}, {0, 1, 2}]
    assert submodel(2.0).label == "fedpmt depth 2"
    assert submodel(2.0).mask_bytes == 1


@pytest.mark.parametrize("depth", [0.0, 4.0, 1.5, None])
def test_a_depth_that_the_model_does_not_have_is_an_error(depth: float | None) -> None:
    with pytest.raises(InputError, match=f"whole number from 1 to 3, the layers of this model; got {depth}"):
        submodel(depth)


def test_the_depth_is_fixed_or_fitted() -> None:
    assert FedPMT(depth=2).fixed_capacity() == 2.0
    assert FedPMT().fixed_capacity() is None
    fitted = ADAPTER.validate_json('{"fit": {"target": "30 s"}}')
    assert (fitted.fixed_capacity(), fitted.fit_target_s()) == (None, 30.0)
    assert FedPMT().fit_target_s() is None
    with pytest.raises(ValidationError, match="give depth or fit, not both"):
        ADAPTER.validate_json('{"depth": 2, "fit": {"target": "30 s"}}')


@pytest.mark.parametrize("execution", [Execution(), Execution("stacked", 3)], ids=["sequential", "stacked"])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_at_full_depth_a_whole_run_is_fedavg_bit_for_bit(kind: str, execution: Execution) -> None:
    options = {"optimizer": Sgd(0.9, 0.01), "execution": execution, "dtype": torch.float32}
    partial = federation(FedPMT(), [3.0] * 4, network=make(kind, torch.float32), **options)
    fedavg = federation(network=make(kind, torch.float32), **options)
    assert same_bits(weights_after(partial, rounds=3), weights_after(fedavg, rounds=3))


@settings(max_examples=30, deadline=None)
@given(depths=DEPTHS, rounds=st.integers(1, 2))
def test_layers_that_no_device_trains_keep_their_bits(depths: list[int], rounds: int) -> None:
    after = weights_after(anew(depths), rounds)
    deepest = 3 - max(depths)
    for index, layer in enumerate(STRUCTURE.layers):
        for name in layer.tensors:
            assert torch.equal(START[name], after[name]) == (index < deepest)


@settings(max_examples=30, deadline=None)
@given(depths=DEPTHS)
def test_a_layer_is_the_average_of_those_who_trained_it(depths: list[int]) -> None:
    learner = anew(depths)
    learner.assign([order(device, device) for device in range(4)])
    assignments = [learner.ledger.open[device] for device in range(4)]
    jobs = [learner._job(assignment) for assignment in assignments]
    results = [
        {name: p.clone() for name, p in result.params.items()} for result in learner.trainer.train(jobs)
    ]
    learner.aggregate([0, 1, 2, 3], [0] * 4, 0.0)
    for name, merged in learner.weights.items():
        senders = [
            (float(len(jobs[i].samples)), result[name]) for i, result in enumerate(results) if name in result
        ]
        total = sum(weight for weight, _ in senders)
        mean = sum(weight * value for weight, value in senders) / total if senders else START[name]
        assert torch.allclose(merged, mean, rtol=0, atol=1e-12)


def test_the_forward_pass_does_not_depend_on_the_depth() -> None:
    """The loss of the first step, before anything is trained, is the same at every depth."""
    losses = []
    for depth in (1.0, 2.0, 3.0):
        learner = federation(FedPMT(), [depth] * 4, work=LocalWork(None, 1, 5))
        learner.assign([order(0, 0)])
        learner.aggregate([0], [0], 0.0)
        losses += learner.losses([0])
    assert losses == [pytest.approx(losses[0], abs=1e-12)] * 3


def test_what_is_sent_back_untrained_leaves_the_model_as_it_was() -> None:
    learner = federation(FedPMT(), [1.0, 2.0, 3.0, 2.0], work=LocalWork(None, 1, 5))
    learner.learning_rate = lambda version: 0.0  # noqa: ARG005
    before = dict(learner.weights)
    assert same_bits(before, weights_after(learner, rounds=2))


def test_depth_one_costs_at_least_a_forward_pass() -> None:
    assert STRUCTURE.train_macs(STRUCTURE.layers_from(2)) == STRUCTURE.forward_macs + STRUCTURE.layers[2].macs
    assert FedPMT().aggregation == "covered"
    assert isinstance(federation().aggregator, Covered)
