"""The learner that only accounts: real strategies, real workloads, no training (`--timing-only`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from edgesim.learner import Aggregation, Order, Part, Workload
from edgesim.models._structure import ModelStructure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Mask, Submodel, SubmodelStrategy, expected
from edgesim.training.accounting import Charging, LocalWork, mixed, workload
from edgesim.training.coverage import Coverage
from edgesim.training.growing import Growing, Look
from edgesim.training.held import HeldStructures
from edgesim.training.optimizer import Optimizer


class Assignment(NamedTuple):
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
        streams: of the seed of learning.
        charging: what is charged for a visit.
        keep_latest: whether an aggregation merges the latest update of every device that has reported so far,
            those of earlier aggregations too.
        incremental: whether the download of nested sub-models is split into what each adds to the next
            smaller one, for a server that sends each part once (IMS of FedGMR; algorithms 3.7 (2)).
        together: visits that leave together where only their costs are asked for.
        growing: how capacities grow; null where they do not.
        has_memory: whether a device has so many bytes for training.
    """

    structure: ModelStructure
    strategy: SubmodelStrategy
    work: LocalWork
    optimizer: Optimizer
    samples: NDArray[np.int64]
    capacity: NDArray[np.float64]
    streams: Streams = field(default_factory=lambda: Streams(0))
    charging: Charging = field(default_factory=Charging)
    keep_latest: bool = False
    incremental: bool = False
    together: int = 1
    growing: Growing | None = None
    has_memory: Callable[[int, int], bool] = lambda device, needed_bytes: True  # noqa: ARG005
    open: dict[int, Assignment] = field(default_factory=dict)
    _latest: dict[int, Submodel] = field(default_factory=dict)
    _held: HeldStructures = field(default_factory=HeldStructures)
    _expected: dict[float, Submodel] = field(default_factory=dict)
    _workloads: WeakKeyDictionary[Submodel, dict[int, Workload]] = field(default_factory=WeakKeyDictionary)
    _covered: dict[Submodel | frozenset[Submodel], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._coverage = Coverage(self.structure)
        self._constant = self.strategy.constant
        self._kinds: NDArray[np.int64] | None = None
        self._pairs: dict[int, tuple[Submodel, Workload]] = {}
        self._memory: tuple[int, Any] = (-1, None)
        self._masks = WeakValueDictionary[int, Mask]()  # one that nobody else holds is never met again

    def fresh(self) -> Ledger:
        """The same books with nothing written in them."""
        growing = None if self.growing is None else self.growing.fresh()
        return replace(self, open={}, _latest={}, capacity=self.capacity.copy(), growing=growing)

    def expected(self, capacity: float) -> Submodel:
        """The sub-model of a capacity where only its cost is asked for; always the same object."""
        if capacity not in self._expected:
            context = expected(capacity, self.together)
            self._expected[capacity] = self.strategy.assign({}, self.structure, context)
        return self._expected[capacity]

    def structure_of(self, submodel: Submodel) -> ModelStructure:
        """Structure of what a device holds, with its physically small network."""
        return self._held.of(self.structure, submodel, capacities=len(self._expected))

    def workload_of(self, submodel: Submodel, samples: int) -> Workload:
        """The workload of a sub-model on a device with so many samples; worked out once."""
        known = self._workloads.setdefault(submodel, {})
        if samples not in known:
            known[samples] = self._charged(submodel, samples)
        return known[samples]

    def _charged(self, submodel: Submodel, samples: int) -> Workload:
        held = self.structure_of(submodel)
        charged = workload(held, submodel, samples, self.work, self.optimizer, self.structure, self.charging)
        if submodel.nest is None:
            return charged
        runs = [(times, self.workload_of(part, samples)) for times, part in submodel.nest.runs]
        return mixed(charged, runs)

    def assign(self, orders: Sequence[Order]) -> list[Workload]:
        """Fix sub-model and workload of each order."""
        return self.take(orders, {})

    def take(self, orders: Sequence[Order], weights: Mapping[str, object]) -> list[Workload]:
        """Fix and remember the sub-model and workload of each order."""
        workloads = []
        for place, order in enumerate(orders):
            if self._constant:
                submodel, charged = self._pair_of(order.device)
            else:
                submodel, charged = self._decide(order, weights, place, len(orders))
            self.open[order.dispatch] = Assignment(order, submodel, charged)
            workloads.append(charged)
        return workloads

    def _pair_of(self, device: int) -> tuple[Submodel, Workload]:
        """What a device is always given; worked out once for all with its capacity and samples."""
        if self._kinds is None:
            _, capacity = np.unique(self.capacity, return_inverse=True)
            _, samples = np.unique(self.samples, return_inverse=True)
            self._kinds = capacity.astype(np.int64) * (samples.max() + 1) + samples
        kind = self._kinds.item(device)
        pair = self._pairs.get(kind)
        if pair is None:
            submodel = self.expected(float(self.capacity[device]))
            charged = self.workload_of(submodel, int(self.samples[device]))
            if self.incremental and self.strategy.nested:
                charged = self._in_increments(charged, device, self.expected)
            pair = self._pairs[kind] = submodel, charged
        return pair

    def _decide(
        self, order: Order, weights: Mapping[str, object], place: int, together: int
    ) -> tuple[Submodel, Workload]:
        device = order.device
        capacity = float(self.capacity[device])
        context = Context(
            device,
            order.visit,
            order.version,
            capacity,
            place,
            together,
            self.streams,
            self._remembered(order.version, weights),
        )
        submodel = self.strategy.assign(weights, self.structure, context)
        charged = self.workload_of(submodel, int(self.samples[device]))
        if submodel.mask is not None:
            charged = self._described(device, submodel.mask, charged)
        if self.incremental and self.strategy.nested:
            charged = self._in_increments(
                charged,
                device,
                lambda rung: self.strategy.assign(weights, self.structure, replace(context, capacity=rung)),
            )
        return submodel, charged

    def _remembered(self, version: int, weights: Mapping[str, object]) -> Any:
        """What the strategy remembers for a version."""
        self._memory = (version, self._memory_of(version, weights))
        return self._memory[1]

    def _memory_of(self, version: int, weights: Mapping[str, object]) -> Any:
        if not self.strategy.remembers or self._memory[0] == version:
            return self._memory[1]
        return self.strategy.remember(weights, self.structure, self._memory[1], version)

    def shown(self, capacity: float, version: int, weights: Mapping[str, object]) -> Submodel:
        """The sub-model of a capacity that device 0 would get of a version; the books stay as they are."""
        if self._constant:
            return self.expected(capacity)
        memory = self._memory_of(version, weights)
        context = Context(0, version, version, capacity, streams=self.streams, memory=memory)
        return self.strategy.assign(weights, self.structure, context)

    def _described(self, device: int, mask: Mask, charged: Workload) -> Workload:
        """A device that has this very mask already is not sent it again."""
        if self._masks.get(device) is mask:
            return replace(charged, parts_down=charged.parts_down[:1])
        self._masks[device] = mask
        return charged

    def _in_increments(
        self, charged: Workload, device: int, submodel_of: Callable[[float], Submodel]
    ) -> Workload:
        """The download as what each capacity in use adds to the next smaller one, up to the device's own."""
        rungs = np.unique(self.capacity)
        parts: list[Part] = []
        before = 0
        for rung in rungs[rungs <= self.capacity[device]]:
            held = self.workload_of(submodel_of(float(rung)), int(self.samples[device])).parts_down[0]
            parts.append(Part(f"increment to {held.key}", held.bytes - before))
            before = held.bytes
        return replace(charged, parts_down=(*parts, *charged.parts_down[1:]))

    def fits(self, device: int, capacity: float) -> bool:
        """Whether a sub-model of this capacity fits in the device's memory."""
        charged = self.workload_of(self.expected(capacity), int(self.samples[device]))
        return self.has_memory(device, charged.memory_bytes)

    def give(self, device: int, capacity: float) -> None:
        """Change the capacity of a device; a visit that is under way keeps the sub-model that it has."""
        self.capacity[device] = capacity
        self._kinds = None
        self._pairs.clear()

    def aggregate(
        self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float, look: Look | None = None
    ) -> Aggregation:
        """Count what an aggregation of these dispatches covers, and let capacities grow.

        Args:
            dispatches: which.
            staleness: of each.
            time_s: virtual time.
            look: for the accuracies of sub-models; null where nothing is trained.
        """
        if self.growing is None:
            return self._count(dispatches)
        version = self.open[dispatches[0]].order.version + staleness[0] + 1
        made = self._count(dispatches)
        self.growing.after(version, time_s, self, look)
        return made

    def _count(self, dispatches: Sequence[int]) -> Aggregation:
        submodels, devices = [], []
        density = kept = 0.0
        for dispatch in dispatches:
            order, submodel, charged = self.open.pop(dispatch)
            submodels.append(submodel)
            devices.append(order.device)
            density += charged.density
            kept += charged.kept
        self._coverage.count(submodels, devices)
        if self.keep_latest:
            self._latest.update(zip(devices, submodels, strict=True))
            submodels = list(self._latest.values())
        count = len(dispatches)
        return Aggregation(count, density / count, kept / count, self.covered_fraction(submodels))

    def covered_fraction(self, submodels: Sequence[Submodel]) -> float:
        """Share of the model's parameters that at least one of these sub-models trains."""
        if not self._constant:
            return self._coverage.fraction(submodels)
        alike = submodels.count(submodels[0]) == len(submodels)
        key = submodels[0] if alike else frozenset(submodels)
        if key not in self._covered:
            self._covered[key] = self._coverage.fraction(submodels)
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

    @property
    def finished(self) -> bool:
        """Whether growth sees nothing more to gain."""
        return self.growing is not None and self.growing.finished

    def tables(self) -> dict[str, Mapping[str, Sequence[object]]]:
        """Columns of the table of coverage, and of that of growth where anything can grow."""
        grown = {} if self.growing is None else {"growth": self.growing.table()}
        return {"coverage": self._coverage.table(), **grown}
