"""HeteroFL and FedPMT train every network: one short round of a federation (algorithms 3.2 and 3.8)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from edgesim.aggregation.covered import Covered
from edgesim.learner import Order
from edgesim.models._structure import ModelStructure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution, Samples, Trainer
from edgesim.training.evaluate import Evaluator, has_static_norms, tracking
from edgesim.training.federation import Federation
from edgesim.training.ledger import Ledger
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Sgd
from tests.contract._zoo import CLASSES, NETWORKS, drawn, held, structure_of, tensors_of

DEVICES, SAMPLES = 2, 4


@pytest.fixture(scope="module", params=NETWORKS)
def structure(request: pytest.FixtureRequest) -> ModelStructure:
    return structure_of(request.param)


def learner_of(
    structure: ModelStructure, strategy: SubmodelStrategy, capacity: Sequence[float]
) -> Federation:
    network, streams = copy.deepcopy(structure.network), Streams(4)
    ledger = Ledger(
        structure, strategy, LocalWork(None, 1, SAMPLES), Sgd(), np.full(DEVICES, SAMPLES), np.array(capacity)
    )
    x = drawn(structure, DEVICES * SAMPLES, seed=1)
    x = x.float() if structure.tokens is None else x
    samples = Samples(x, torch.arange(DEVICES * SAMPLES) % CLASSES)
    static = has_static_norms(network)
    evaluated = tracking(network, torch.float32, "cpu") if static else network
    evaluator = Evaluator(evaluated, samples, "cross_entropy", False, samples if static else None)
    return Federation(
        ledger=ledger,
        trainer=Trainer(network, Objective(clip_norm=1.0), Sgd(), samples, Execution(), streams, SAMPLES),
        aggregator=Covered(),
        evaluators={"": evaluator},
        shards=np.split(np.arange(DEVICES * SAMPLES), DEVICES),
        streams=streams,
        learning_rate=lambda version: 0.01,  # noqa: ARG005
        weights={
            name: t.detach().clone() for name, t in (*network.named_parameters(), *network.named_buffers())
        },
    )


def train(learner: Federation) -> None:
    learner.assign([Order(device, device, 0, 0, 0.0) for device in range(DEVICES)])
    learner.aggregate(list(range(DEVICES)), [0] * DEVICES, 0.0)
    assert all(loss is not None and math.isfinite(loss) for loss in learner.losses(range(DEVICES)))
    assert math.isfinite(learner.evaluate()["loss"])


def test_fedpmt_trains_the_layers_of_its_depth_and_no_others(structure: ModelStructure) -> None:
    depths = (1, 1 + len(structure.layers) // 2)
    learner = learner_of(structure, FedPMT(), depths)
    before = dict(learner.weights)
    train(learner)
    table = learner.tables()["coverage"]
    times = dict(zip(table["tensor"], table["times_trained"], strict=True))
    for index, layer in enumerate(structure.layers):
        trained = sum(index >= len(structure.layers) - depth for depth in depths)
        for name in layer.tensors:
            assert times[name] == trained
            assert torch.equal(learner.weights[name], before[name]) or trained
    moved = [name for name in times if not torch.equal(learner.weights[name], before[name])]
    assert set(structure.layers[-1].tensors) <= set(moved)
    assert len(moved) > len(structure.layers[-1].tensors)


def test_heterofl_trains_the_units_of_its_width_and_no_others(structure: ModelStructure) -> None:
    rates = (0.25, 0.5) if len(structure.layers) < 12 else (0.5, 0.5)  # each is traced, which takes seconds
    learner = learner_of(structure, HeteroFL(masked_classes=False), rates)
    before = dict(learner.weights)
    train(learner)
    cut = learner.ledger.strategy.assign({}, structure, _context(0.5)).cut
    assert cut is not None
    held_elements = moved_tensors = 0
    for name, tensor in tensors_of(structure.network).items():
        own = held(structure.units, cut, name, tuple(tensor.shape))
        assert torch.equal(learner.weights[name][~own], before[name][~own])
        moved_tensors += not torch.equal(learner.weights[name], before[name])
        held_elements += int(own.sum()) if name in dict(structure.network.named_parameters()) else 0
    assert moved_tensors > len(tensors_of(structure.network)) / 2
    covered = learner.ledger.covered_fraction(
        [learner.ledger.strategy.assign({}, structure, _context(rate)) for rate in rates]
    )
    assert covered == pytest.approx(held_elements / structure.parameters)
    fresh, again = (learner.evaluators[""]._recalibrated(weights) for weights in (before, learner.weights))
    recalibrated = any(not torch.equal(fresh[name], again[name]) for name in fresh)
    assert recalibrated == has_static_norms(structure.network)


def _context(rate: float) -> Context:
    return Context(0, 0, 0, rate)
