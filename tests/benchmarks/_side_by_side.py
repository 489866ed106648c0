"""Rounds of federated learning by edgesim and by a plain PyTorch loop, taken in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.nn import functional

from edgesim import yaml_source
from edgesim.datasets._dataset import Data, Dataset
from edgesim.document import Document
from edgesim.experiment import federation, threads
from edgesim.learner import Order
from edgesim.parts import Parts, prepare
from edgesim.registry import component
from edgesim.scenario import resolve
from tests.benchmarks._result import Result

LEARNING_RATE = 0.1
BATCH_SIZE = 10
CLASSES = 10


@component
class RandomSamples(Dataset):
    """Normal numbers with random labels: speed does not depend on what is learnt."""

    shape: tuple[int, ...]
    count: int

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        draw = np.random.default_rng(0)
        x = draw.standard_normal((self.count, *self.shape), dtype=np.float32)
        y = draw.integers(0, CLASSES, self.count)
        return Data(x, y, x[:1], y[:1], CLASSES)


def scenario(model: str, shape: list[int], clients: int, samples: int, per_round: int, cores: int) -> Parts:
    """The workload as a scenario, so that the execution is what a user of edgesim would get."""
    text = f"""
        name: benchmark
        model: {model}
        dataset: {{name: "{__name__}:RandomSamples", shape: {shape}, count: {clients * samples}}}
        fleet: [{{profile: raspberry-pi-4, count: {clients}}}]
        coordination: {{name: synchronous, clients_per_round: {per_round}}}
        training: {{epochs: 1, batch_size: {BATCH_SIZE}, learning_rate: {LEARNING_RATE}}}
        execution: {{device: cpu, threads: {cores}}}
        stop: {{rounds: 1}}
    """
    return prepare(resolve(Document(yaml_source.parse(text, "benchmark"), Path(__file__))))


def compare(parts: Parts, title: str, target: float, rounds: int) -> Result:
    """Median seconds of a round of each, one after the other in every repetition."""
    per_round = parts.scenario.coordination.clients_per_round  # type: ignore[attr-defined]
    contestants = (_plain_round(parts, per_round), _edgesim_round(parts, per_round))
    with threads(parts.scenario.execution.threads):
        for run in contestants:
            run(0)
        seconds = [[_timed(run, number) for run in contestants] for number in range(1, rounds + 1)]
    plain_s, edgesim_s = (median(column) for column in zip(*seconds, strict=True))
    return Result(title, plain_s, edgesim_s, target)


def epoch_s(parts: Parts, repeats: int = 3) -> float:
    """Median seconds of a round of edgesim alone."""
    run = _edgesim_round(parts, 1)
    with threads(parts.scenario.execution.threads):
        run(0)
        return median(_timed(run, number) for number in range(1, repeats + 1))


def _timed(run: Callable[[int], None], number: int) -> float:
    started = time.perf_counter()
    run(number)
    return time.perf_counter() - started


def _clients(parts: Parts, per_round: int, number: int) -> list[int]:
    return [(number * per_round + place) % len(parts.fleet) for place in range(per_round)]


def _edgesim_round(parts: Parts, per_round: int) -> Callable[[int], None]:
    learner = federation(parts)

    def run(number: int) -> None:
        first = number * per_round
        devices = _clients(parts, per_round, number)
        orders = [Order(first + i, device, 0, number, 0.0) for i, device in enumerate(devices)]
        learner.assign(orders)
        learner.aggregate([order.dispatch for order in orders], [0] * per_round, 0.0)

    return run


def _plain_round(parts: Parts, per_round: int) -> Callable[[int], None]:
    """What one writes without a framework: `autograd.grad`, in-place updates, a running weighted sum."""
    pool_x = torch.from_numpy(parts.data.train_x[parts.pool])
    pool_y = torch.from_numpy(parts.data.train_y[parts.pool])
    network = parts.network
    params = list(network.parameters())
    weights = [p.detach().clone() for p in params]

    def run(number: int) -> None:
        shards = [parts.shards[device] for device in _clients(parts, per_round, number)]
        total = sum(map(len, shards))
        sums = [torch.zeros_like(weight) for weight in weights]
        for shard in shards:
            with torch.no_grad():
                for p, weight in zip(params, weights, strict=True):
                    p.copy_(weight)
            order = torch.from_numpy(np.random.default_rng(number).permutation(shard))
            for index in order.split(BATCH_SIZE):
                loss = functional.cross_entropy(network(pool_x[index]), pool_y[index])
                gradients = torch.autograd.grad(loss, params)
                with torch.no_grad():
                    for p, gradient in zip(params, gradients, strict=True):
                        p.sub_(gradient, alpha=LEARNING_RATE)
            with torch.no_grad():
                for merged, p in zip(sums, params, strict=True):
                    merged.add_(p, alpha=len(shard) / total)
        weights[:] = sums

    return run
