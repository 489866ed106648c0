"""The learner that learns: holds the model's versions, trains what is aggregated, merges and evaluates.

Training is deferred: an order only remembers the version that it started from. What never reaches an
aggregation is never trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.learner import Aggregation, Order, Workload
from edgesim.rng import Streams
from edgesim.training.batches import draw_batches
from edgesim.training.cohorts import Job, Trained, Trainer
from edgesim.training.evaluate import Evaluator
from edgesim.training.ledger import Assignment, Ledger

Tensors = Mapping[str, Tensor]


@dataclass
class Federation:
    """A `Learner` over real data.

    Attributes:
        ledger: what each order trains and costs.
        trainer: runs the local training.
        aggregator: merges updates.
        evaluators: by prefix of the metric's name: "" for the held-out split.
        shards: per device, indices of its samples in the pool.
        streams: of the seed of learning.
        learning_rate: of a visit that starts from a version.
        weights: parameters and floating-point buffers of the current version.
        wall_s: host seconds spent in training and evaluation.
    """

    ledger: Ledger
    trainer: Trainer
    aggregator: Aggregator
    evaluators: Mapping[str, Evaluator]
    shards: Sequence[NDArray[np.int64]]
    streams: Streams
    learning_rate: Callable[[int], float]
    weights: dict[str, Tensor]
    wall_s: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0})
    _names: dict[int, tuple[list[str], list[str]]] = field(default_factory=dict)
    _bases: dict[int, Tensors] = field(default_factory=dict)
    _losses: dict[int, float] = field(default_factory=dict)
    _metrics: dict[str, float] | None = None

    def __post_init__(self) -> None:
        names = [name for name, _ in self.trainer.network.named_parameters()]
        self._buffers = [name for name in self.weights if name not in set(names)]
        for first in range(len(self.ledger.structure.layers)):
            trained = set(self.ledger.structure.trained_tensors(first))
            own, rest = ([n for n in names if (n in trained) == wanted] for wanted in (True, False))
            self._names[first] = own, rest

    def assign(self, orders: Sequence[Order]) -> list[Workload]:
        """Fix sub-model and workload of each order, and remember the version that it starts from."""
        for order in orders:
            self.ledger.take(order, self.weights)
            self._bases[order.dispatch] = self.weights
        return [self.ledger.open[order.dispatch].workload for order in orders]

    @torch.inference_mode()
    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:
        """Train these dispatches and merge their updates, in this order, into the next version."""
        started = time.perf_counter()
        assignments = [self.ledger.open[dispatch] for dispatch in dispatches]
        jobs = [self._job(assignment) for assignment in assignments]
        updates = self._updates(assignments, self.trainer.train(jobs))
        self.weights = self.aggregator.aggregate(self.weights, updates)
        self._forget(dispatches)
        self._metrics = None
        self.wall_s["training"] += time.perf_counter() - started
        return self.ledger.aggregate(dispatches, staleness, time_s)

    def _job(self, assignment: Assignment) -> Job:
        order = assignment.order
        base = self._bases[order.dispatch]
        trained, frozen = self._names[assignment.submodel.first_layer]
        samples = self.shards[order.device]
        return Job(
            params={name: base[name] for name in trained},
            frozen={name: base[name] for name in frozen},
            buffers={name: base[name] for name in self._buffers},
            samples=samples,
            batches=draw_batches(self.streams, order.device, order.visit, len(samples), self.ledger.work),
            lr=self.learning_rate(order.version),
            noise=(order.device, order.visit),
        )

    def _updates(self, assignments: Sequence[Assignment], trained: Iterator[Trained]) -> Iterator[Update]:
        for assignment, result in zip(assignments, trained, strict=True):
            self._losses[assignment.order.dispatch] = result.loss
            samples = int(self.ledger.samples[assignment.order.device])
            layers = self.ledger.structure.layers[assignment.submodel.first_layer :]
            statistics = {name: result.buffers[name] for layer in layers for name in layer.buffers}
            floating = {name: value for name, value in statistics.items() if value.is_floating_point()}
            yield Update({**result.params, **floating}, self.aggregator.client_weight(samples))

    def _forget(self, dispatches: Sequence[int]) -> None:
        for dispatch in dispatches:
            del self._bases[dispatch]

    def release(self, dispatches: Sequence[int]) -> None:
        """Forget dispatches that will not be aggregated; nothing is trained for them."""
        self.ledger.release(dispatches)
        self._forget(dispatches)

    def losses(self, dispatches: Sequence[int]) -> list[float | None]:
        """Mean training loss of each aggregated visit."""
        return [self._losses[dispatch] for dispatch in dispatches]

    def evaluate(self) -> dict[str, float]:
        """Metrics of the current version; worked out once per version."""
        if self._metrics is None:
            started = time.perf_counter()
            self._metrics = {}
            for prefix, evaluator in self.evaluators.items():
                loss, accuracy = evaluator(self.weights)
                self._metrics |= {f"{prefix}loss": loss, f"{prefix}accuracy": accuracy}
            self.wall_s["evaluation"] += time.perf_counter() - started
        return dict(self._metrics)

    def coverage(self) -> dict[str, list[str] | list[int]]:
        """Columns of the coverage table."""
        return self.ledger.coverage()
