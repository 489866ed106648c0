"""The learner that learns: holds the model's versions, trains what is aggregated, merges and evaluates.

Training is deferred: an order only remembers the version that it started from. What never reaches an
aggregation is never trained.

Memory: a version lives as long as a dispatch that started from it is open, and is shared by all of them; a
tensor that an aggregation left alone is shared by the versions before and after it. So at most
min(open dispatches, largest staleness) versions are alive beside the present one. Where the policy keeps the
latest updates, or growth looks at them, there is, besides, one update per device that has ever reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._divergence import Divergence
from edgesim.aggregation._server_optimizer import Moments
from edgesim.datasets._dataset import IGNORED
from edgesim.learner import Aggregation, Order, Workload
from edgesim.models._layers import Layers
from edgesim.models._slicing import Slicer, make_slicer
from edgesim.models._structure import ModelStructure
from edgesim.rng import Streams
from edgesim.submodels._rule import PRESENT, Rule
from edgesim.submodels._submodel import Cut, Submodel
from edgesim.training.batches import draw_batches
from edgesim.training.client_models import ClientModel, ClientModels, masked
from edgesim.training.cohorts import Job, Trained, Trainer
from edgesim.training.evaluate import Evaluator
from edgesim.training.ledger import Assignment, Ledger
from edgesim.training.part import Part, make_part

Tensors = Mapping[str, Tensor]
_Trained = tuple[Layers, frozenset[str]]  # the trained layers, and which of their tensors are not

_WHOLE = Slicer({})
_DIVERGENCE_EVERY = 10  # aggregations: it costs as much again as merging


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
        rungs: capacities whose sub-models are evaluated too, on the held-out split.
        clients: the last trained sub-models, for growth that looks at them; null where nobody does.
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
    rungs: Sequence[float] = ()
    clients: ClientModels | None = None
    wall_s: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0})
    _moments: Moments = field(default_factory=dict)
    _latest: dict[int, tuple[Order, Update]] = field(default_factory=dict)
    _parts: WeakKeyDictionary[nn.Module, dict[_Trained, Part]] = field(default_factory=WeakKeyDictionary)
    _slicers: WeakKeyDictionary[Cut, Slicer] = field(default_factory=WeakKeyDictionary)
    _present: dict[int, Tensor] = field(default_factory=dict)
    _bases: dict[int, Tensors] = field(default_factory=dict)
    _losses: dict[int, float] = field(default_factory=dict)
    _divergence: dict[str, list[object]] = field(
        default_factory=lambda: {"version": [], "layer": [], "divergence": []}
    )
    _metrics: dict[str, float] | None = None
    _version: int = 0

    def assign(self, orders: Sequence[Order]) -> list[Workload]:
        """Fix sub-model and workload of each order, and remember the version that it starts from."""
        taken = self.ledger.take(orders, self.weights)
        for order in orders:
            self._bases[order.dispatch] = self.weights
        return taken

    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:
        """Train these dispatches and merge their updates, in this order, into the next version."""
        self._merge(dispatches, staleness)
        return self.ledger.aggregate(dispatches, staleness, time_s, self._look)

    @torch.inference_mode()
    def _merge(self, dispatches: Sequence[int], staleness: Sequence[int]) -> None:
        started = time.perf_counter()
        assignments = [self.ledger.open[dispatch] for dispatch in dispatches]
        updates = self._updates(assignments, staleness)
        version = assignments[0].order.version + staleness[0]
        if self.ledger.keep_latest:
            updates = self._all_latest(assignments, updates, version)
        if version % _DIVERGENCE_EVERY == 0 and len(dispatches) > 1:
            updates = self._watched(updates, version + 1)
        self.weights, self._moments = self.aggregator.aggregate(self.weights, updates, self._moments)
        self._forget(dispatches)
        self._metrics, self._version = None, version + 1
        self.wall_s["training"] += time.perf_counter() - started

    @torch.inference_mode()
    def _look(self, devices: Sequence[int]) -> tuple[float, Mapping[int, float]]:
        """Accuracy of the average of the last trained sub-models, and of those of some devices."""
        assert self.clients is not None
        started = time.perf_counter()
        found = self.clients.look(devices, self.weights)
        self.wall_s["evaluation"] += time.perf_counter() - started
        return found

    def _job(self, assignment: Assignment) -> Job:
        order, submodel = assignment.order, assignment.submodel
        base, held = self._bases[order.dispatch], self.ledger.structure_of(submodel)
        part, slicer = self._part(held, submodel), self._slicer(submodel.cut)
        params = masked({name: slicer.take(name, base[name]) for name in part.trained}, submodel.held_mask)
        samples = self.shards[order.device]
        batches = draw_batches(self.streams, order.device, order.visit, len(samples), self.ledger.work)
        aux = self._rule.aux(submodel, params)
        if self._rule.masks_classes:
            aux[PRESENT] = self._present_classes(order.device)
        return Job(
            network=held.network,
            params=params,
            frozen={name: slicer.take(name, base[name]) for name in part.frozen},
            buffers={name: slicer.take(name, base[name]) for name in part.buffers},
            aux=aux,
            draws=self._rule.draws(
                submodel, len(batches), partial(self.streams.generator, "rule", order.device, order.visit)
            ),
            samples=samples,
            batches=batches,
            lr=self.learning_rate(order.version),
            noise=(order.device, order.visit),
        )

    def _updates(self, assignments: Sequence[Assignment], staleness: Sequence[int]) -> Iterator[Update]:
        """Train, one update after the other; the memory of each is reused for the next."""
        # Held until all are trained: equal widths are then one network, and that is what is stacked.
        held = [self.ledger.structure_of(assignment.submodel) for assignment in assignments]
        jobs = [self._job(assignment) for assignment in assignments]
        trained = self.trainer.train(jobs)
        lasting = self.ledger.keep_latest or self.clients is not None
        for assignment, age, job, trained_now in zip(assignments, staleness, jobs, trained, strict=True):
            result = trained_now.lasting() if lasting else trained_now
            self._losses[assignment.order.dispatch] = result.loss
            update = self._update(assignment, age, job, result)
            if self.clients is not None:
                self.clients.keep(
                    assignment.order.device, self._client_model(assignment, job, result, update)
                )
            yield update
        del held

    def _client_model(self, assignment: Assignment, job: Job, result: Trained, update: Update) -> ClientModel:
        """What a device has after its training, the parts that it only ran included."""
        return ClientModel(
            network=job.network,
            params={**job.frozen, **result.params},
            buffers=result.buffers,
            mask=assignment.submodel.held_mask,
            places=update.places,
            weight=update.weight,
        )

    def _update(self, assignment: Assignment, staleness: int, job: Job, result: Trained) -> Update:
        device, submodel = assignment.order.device, assignment.submodel
        part = self._part(self.ledger.structure_of(submodel), submodel)
        statistics = part.statistics(result.buffers)
        return Update(
            values={**result.params, **statistics},
            weight=self.aggregator.client_weight(int(self.ledger.samples[device])),
            masks=self._masks(assignment, result.params),
            places=self._slicer(submodel.cut).places,
            statistics=frozenset(statistics),
            staleness=staleness,
            base=job.params if self.aggregator.needs_base else {},
        )

    def _masks(self, assignment: Assignment, params: Tensors) -> dict[str, Tensor]:
        """Where the values of an update were trained."""
        if self._rule.masks_classes:
            return self._class_rows(assignment.order.device, params)
        mask = assignment.submodel.mask
        return {} if mask is None else mask.of(params)

    def _watched(self, updates: Iterator[Update], version: int) -> Iterator[Update]:
        """The same updates; how far they diverge is written down when all have passed."""
        seen = Divergence()
        for update in updates:
            seen.add(self.weights, update, self.aggregator.discounted(update))
            yield update
        layers = {layer.name: layer.tensors for layer in self.ledger.structure.layers}
        for layer, divergence in seen.result(layers).items():
            for column, value in zip(self._divergence.values(), (version, layer, divergence), strict=True):
                column.append(value)

    def _all_latest(
        self, assignments: Sequence[Assignment], arrived: Iterator[Update], version: int
    ) -> Iterator[Update]:
        """The latest update of every device that has reported, in dispatch order, each as old as it is now.

        The buffer of FedGMR (algorithms 3.7 (5), `all_latest`). A device has one place in it.
        """
        for assignment, update in zip(assignments, arrived, strict=True):
            self._latest[assignment.order.device] = (assignment.order, update)
        for order, update in sorted(self._latest.values(), key=lambda kept: kept[0].dispatch):
            yield replace(update, staleness=version - order.version)

    @property
    def _rule(self) -> Rule:
        return self.trainer.objective.rule

    def _part(self, held: ModelStructure, submodel: Submodel) -> Part:
        """The names of its tensors; forgotten with the network."""
        known, key = self._parts.setdefault(held.network, {}), (submodel.layers, submodel.frozen)
        if key not in known:
            known[key] = make_part(held, *key)
        return known[key]

    def _slicer(self, cut: Cut | None) -> Slicer:
        """Where the tensors of a cut lie in the whole model's; forgotten with the cut."""
        if cut is None:
            return _WHOLE
        if cut not in self._slicers:
            units = self.ledger.structure.units
            self._slicers[cut] = make_slicer(units, cut.kept, self.trainer.execution.device)
        return self._slicers[cut]

    def _present_classes(self, device: int) -> Tensor:
        """1 for each class that the device has samples of, else 0, [classes]."""
        if device not in self._present:
            labels = self.trainer.samples.y[torch.from_numpy(self.shards[device])]
            dtype = next(iter(self.weights.values())).dtype
            present = torch.zeros(self.ledger.structure.output_shape[-1], dtype=dtype, device=labels.device)
            self._present[device] = present.index_fill_(0, labels[labels != IGNORED], 1.0)
        return self._present[device]

    def _class_rows(self, device: int, params: Tensors) -> dict[str, Tensor]:
        """Masks that leave out the output rows of the classes that a device lacks (algorithms 3.8)."""
        present = self._present_classes(device) > 0
        rows = [name for name in self.ledger.structure.layers[-1].tensors if name in params]
        return {
            name: present.reshape((-1,) + (1,) * (params[name].dim() - 1)).expand_as(params[name])
            for name in rows
        }

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
                measured = evaluator(self.weights)
                self._metrics |= {f"{prefix}{name}": value for name, value in measured.items()}
            for capacity in self.rungs:
                self._metrics |= self._of_submodel(capacity)
            self.wall_s["evaluation"] += time.perf_counter() - started
        return dict(self._metrics)

    def _of_submodel(self, capacity: float) -> dict[str, float]:
        """Metrics of the present version's sub-model of a capacity; none where that holds the whole model."""
        submodel = self.ledger.shown(capacity, self._version, self.weights)
        kept = {} if submodel.held_mask is None else submodel.held_mask.kept
        if submodel.cut is None and all(self.weights[name].numel() == held for name, held in kept.items()):
            return {}
        structure = self.ledger.structure_of(submodel)
        part, slicer = self._part(structure, submodel), self._slicer(submodel.cut)
        names = (*part.trained, *part.frozen, *part.buffers)
        held = masked({name: slicer.take(name, self.weights[name]) for name in names}, submodel.held_mask)
        dtype = next(iter(self.weights.values())).dtype
        measured = self.evaluators[""].of(structure.network, dtype)(held)
        return {f"{name}_at_{capacity:g}": value for name, value in measured.items()}

    @property
    def finished(self) -> bool:
        """Whether growth sees nothing more to gain."""
        return self.ledger.finished

    def tables(self) -> dict[str, Mapping[str, Sequence[object]]]:
        """Columns of the ledger's tables, and how far the updates of every tenth aggregation diverge."""
        return {**self.ledger.tables(), "divergence": self._divergence}
