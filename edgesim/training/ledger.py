"""The learner that only accounts: real strategies, real workloads, no training (`--timing-only`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgesim.learner import Aggregation, Order, Workload
from edgesim.models._slicing import small_network
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.submodels._submodel import Context, Submodel, SubmodelStrategy
from edgesim.training.accounting import LocalWork, covered_parameters, workload
from edgesim.training.optimizer import Optimizer


@dataclass(frozen=True)
class Assignment:
    """An order with what was decided for it."""

    order: Order
    submodel: Submodel
    workload: Workload


@dataclass
class Ledger:
    """A `Learner` that keeps the books: sub-models, workloads and coverage.

    Attributes:
        structure: of the model.
        strategy: what each device trains.
        work: epochs or steps and batch size.
        optimizer: for its state's memory.
        samples: samples of each device, [devices].
        capacity: capacity of each device, [devices].
        keep_latest: whether an aggregation merges the latest update of every device that has reported so far,
            those of earlier aggregations too.
    """

    structure: ModelStructure
    strategy: SubmodelStrategy
    work: LocalWork
    optimizer: Optimizer
    samples: NDArray[np.int64]
    capacity: NDArray[np.float64]
    keep_latest: bool = False
    open: dict[int, Assignment] = field(default_factory=dict)
    _latest: dict[int, Submodel] = field(default_factory=dict)
    _structures: dict[tuple[object, ...], ModelStructure] = field(default_factory=dict)
    _workloads: dict[tuple[Submodel, int], Workload] = field(default_factory=dict)
    _covered: dict[frozenset[Submodel], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = len(self.structure.layers)
        self._times_trained = np.zeros(layers, dtype=np.int64)
        self._deepest = np.full(len(self.samples), layers, dtype=np.int32)

    def fresh(self) -> Ledger:
        """The same books with nothing written in them."""
        return replace(self, open={}, _latest={})

    def structure_of(self, submodel: Submodel) -> ModelStructure:
        """Structure of what a device holds, with its physically small network; made once per widths."""
        cut = submodel.cut
        if cut is None:
            return self.structure
        key = (cut.widths, cut.rate, submodel.scale)
        if key not in self._structures:
            whole = self.structure
            small = small_network(whole.network, whole.units, cut.kept, cut.rate, submodel.scale)
            self._structures[key] = read_structure(small, whole.input_shape, whole.tokens)
        return self._structures[key]

    def workload_of(self, submodel: Submodel, samples: int) -> Workload:
        """The workload of a sub-model on a device with so many samples; worked out once."""
        key = (submodel, samples)
        if key not in self._workloads:
            held = self.structure_of(submodel)
            self._workloads[key] = workload(
                held, submodel, samples, self.work, self.optimizer, self.structure.parameters
            )
        return self._workloads[key]

    def assign(self, orders: Sequence[Order]) -> list[Workload]:
        """Fix sub-model and workload of each order."""
        return [self.take(order, {}).workload for order in orders]

    def take(self, order: Order, weights: Mapping[str, object]) -> Assignment:
        """Fix and remember one order's sub-model and workload."""
        context = Context(order.device, order.visit, order.version, float(self.capacity[order.device]))
        submodel = self.strategy.assign(weights, self.structure, context)
        charged = self.workload_of(submodel, int(self.samples[order.device]))
        self.open[order.dispatch] = Assignment(order, submodel, charged)
        return self.open[order.dispatch]

    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:  # noqa: ARG002
        """Count what an aggregation of these dispatches covers."""
        taken = [self.open.pop(dispatch) for dispatch in dispatches]
        for assignment in taken:
            self._times_trained[assignment.submodel.first_layer :] += 1
            device = assignment.order.device
            self._deepest[device] = min(self._deepest[device], assignment.submodel.first_layer)
        return Aggregation(
            updates=len(taken),
            mean_density=sum(assignment.workload.density for assignment in taken) / len(taken),
            covered_fraction=self.covered_fraction(self._merged(taken)),
        )

    def _merged(self, arrived: Sequence[Assignment]) -> Iterable[Submodel]:
        """Sub-models of all updates that an aggregation merges."""
        if not self.keep_latest:
            return [assignment.submodel for assignment in arrived]
        self._latest |= {assignment.order.device: assignment.submodel for assignment in arrived}
        return self._latest.values()

    def covered_fraction(self, submodels: Iterable[Submodel]) -> float:
        """Share of the model's parameters that at least one of these sub-models trains."""
        key = frozenset(submodels)
        if key not in self._covered:
            self._covered[key] = covered_parameters(self.structure, key) / self.structure.parameters
        return self._covered[key]

    def release(self, dispatches: Sequence[int]) -> None:
        """Forget dispatches that will not be aggregated."""
        for dispatch in dispatches:
            del self.open[dispatch]

    def losses(self, dispatches: Sequence[int]) -> list[float | None]:
        """Nothing was trained."""
        return [None for _ in dispatches]

    def evaluate(self) -> dict[str, float]:
        """Nothing was trained."""
        return {}

    def coverage(self) -> dict[str, list[str] | list[int]]:
        """Columns of the coverage table: per tensor, how often it was trained and by how many devices."""
        rows = [(name, index) for index, layer in enumerate(self.structure.layers) for name in layer.tensors]
        return {
            "tensor": [name for name, _ in rows],
            "layer": [self.structure.layers[index].name for _, index in rows],
            "times_trained": [int(self._times_trained[index]) for _, index in rows],
            "devices": [int((self._deepest <= index).sum()) for _, index in rows],
        }
