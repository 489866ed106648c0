"""A small federation on random images, and orders for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgesim.aggregation._aggregator import Aggregator
from edgesim.aggregation.covered import Covered
from edgesim.learner import Order
from edgesim.models._structure import read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.full import Full
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution, Job, Trained, Trainer
from edgesim.training.evaluate import Evaluator
from edgesim.training.federation import Federation
from edgesim.training.ledger import Ledger
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Optimizer, Sgd
from tests.training.visits import POOL, make, pool

SIZES = (9, 12, 4, 15)  # samples of each device


class CountingTrainer(Trainer):
    """Remembers how many jobs each call was given."""

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        self.__dict__.setdefault("calls", []).append(len(jobs))
        return super().train(jobs)


def federation(
    strategy: SubmodelStrategy | None = None,
    capacity: Sequence[float] | None = None,
    *,
    network: nn.Module | None = None,
    aggregator: Aggregator | None = None,
    optimizer: Optimizer | None = None,
    execution: Execution | None = None,
    work: LocalWork | None = None,
    dtype: torch.dtype = torch.float64,
) -> Federation:
    """Four devices with SIZES samples of 1x6x6; an MLP with layers 36-7-6-4 unless another is given."""
    network = make("mlp", dtype) if network is None else network
    work = work or LocalWork(epochs=2, steps=None, batch_size=5)
    ledger = Ledger(
        structure=read_structure(copy.deepcopy(network).float(), (1, 6, 6)),
        strategy=strategy or Full(),
        work=work,
        optimizer=optimizer or Sgd(),
        samples=np.array(SIZES),
        capacity=np.array(capacity or [1.0] * len(SIZES)),
    )
    samples, streams = pool(dtype), Streams(4)
    trainer = CountingTrainer(
        network,
        Objective(rule=ledger.strategy.rule),
        ledger.optimizer,
        samples,
        execution or Execution(),
        streams,
        work.batch_size,
    )
    tensors = (*network.named_parameters(), *network.named_buffers())
    weights = {name: tensor.detach().clone() for name, tensor in tensors}
    cuts = np.split(streams.generator("shards").permutation(POOL), np.cumsum(SIZES)[:-1])
    return Federation(
        ledger=ledger,
        trainer=trainer,
        aggregator=aggregator or Covered(),
        evaluators={"": Evaluator(network, samples, "cross_entropy", channels_last=False)},
        shards=cuts,
        streams=streams,
        learning_rate=lambda version: 0.1 * 0.9**version,
        weights=weights,
    )


def order(dispatch: int, device: int, visit: int = 0, version: int = 0) -> Order:
    return Order(dispatch, device, visit, version, time_s=0.0)


def run_round(learner: Federation, version: int, devices: Sequence[int]) -> None:
    """Dispatch these devices for their `version`-th visit and aggregate all of them."""
    first = version * len(SIZES)
    orders = [order(first + place, device, version, version) for place, device in enumerate(devices)]
    learner.assign(orders)
    learner.aggregate([each.dispatch for each in orders], [0] * len(orders), 0.0)


def weights_after(
    learner: Federation, rounds: int, devices: Sequence[int] = range(len(SIZES))
) -> dict[str, Tensor]:
    """The model after so many synchronous rounds of these devices."""
    for version in range(rounds):
        run_round(learner, version, devices)
    return learner.weights


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)
