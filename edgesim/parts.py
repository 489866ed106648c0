"""Everything that a scenario names, built: data, model, fleet, and the books with every capacity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgesim import composition, registry
from edgesim.capacity import capacities, expected_visits_s, misfits
from edgesim.datasets._dataset import Data
from edgesim.datasets._partition import deal
from edgesim.datasets._rule import Pool
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet
from edgesim.devices.world import World
from edgesim.errors import InputError, Problem
from edgesim.growth._growth import GrowthRule
from edgesim.learner import Workload
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.scenario import Experiment, Scenario
from edgesim.seconds import timed_notes, world_of
from edgesim.sections import CostOptions
from edgesim.server.roster import Roster
from edgesim.submodels._submodel import expected
from edgesim.submodels.full import Full
from edgesim.training.accounting import Charging, LocalWork, workload
from edgesim.training.cohorts import unstackable
from edgesim.training.evaluate import has_running_statistics, without_running_statistics
from edgesim.training.growing import Growing
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Adam, Optimizer, Sgd

SHALLOW = 8  # networks with fewer convolutions than this gain from channels-last batches on a CPU


@dataclass(frozen=True)
class Parts:
    """Everything that a scenario names, built.

    Attributes:
        scenario: with the execution resolved.
        data: the samples.
        pool: indices of the training samples that are dealt to devices, [pool].
        held_back: indices of the validation samples.
        shards: per device, positions in the pool; devices may share a shard.
        network: the initialised model.
        structure: of the model.
        world: the fleet and what time depends on.
        ledger: sub-models, workloads and capacities.
        notes: what a reader of the results has to know.
    """

    scenario: Scenario
    data: Data
    pool: NDArray[np.int64]
    held_back: NDArray[np.int64]
    shards: tuple[NDArray[np.int64], ...]
    network: nn.Module
    structure: ModelStructure
    world: World
    ledger: Ledger
    notes: tuple[str, ...]

    @cached_property
    def roster(self) -> Roster:
        """Standing facts of the fleet."""
        books = self.ledger
        largest = np.full_like(books.capacity, books.strategy.ladder(self.structure)[-1])
        expected_s, full_s = (
            expected_visits_s(self.cost, books.samples, capacity, partial(_workload_of, books))
            for capacity in (books.capacity, largest)
        )
        return Roster(self.fleet.profiles, self.fleet.group, books.samples, expected_s, full_s)

    @property
    def cost(self) -> CostModel:
        """What visits ask of the devices."""
        return self.world.cost

    @property
    def fleet(self) -> Fleet:
        """The devices."""
        return self.cost.fleet


Made = TypeVar("Made")


@dataclass
class _Latest(Generic[Made]):
    """What was made for the last few keys.

    Attributes:
        most: of them.
    """

    most: int
    _kept: list[tuple[object, Made]] = field(default_factory=list)

    def get(self, key: object, make: Callable[[], Made]) -> Made:
        made = next((made for known, made in self._kept if known == key), None)
        if made is None:
            made = make()
            self._kept = [*self._kept, (key, made)][-self.most :]
        return made


@dataclass
class Shelf:
    """What earlier variants read and built, for the next ones that have the same; none of it ever changes.

    Of networks it keeps two, as variants take turns with and without running statistics.
    """

    data: _Latest[Data] = field(default_factory=partial(_Latest, 1))
    networks: _Latest[nn.Module] = field(default_factory=partial(_Latest, 2))
    structures: _Latest[ModelStructure] = field(default_factory=partial(_Latest, 2))


def prepare(experiment: Experiment, *, download: bool = False, shelf: Shelf | None = None) -> Parts:
    """Build everything that a scenario names; nothing is trained and nothing written.

    Args:
        experiment: the scenario.
        download: whether missing data may be fetched.
        shelf: where earlier variants left what they read and built, and this one leaves its own.

    Raises:
        InputError: data that are not there, a depth that the model does not have, ...: with its place.
    """
    try:
        return _prepare(experiment, download, shelf or Shelf())
    except InputError as error:
        raise experiment.placed(error) from error


def _prepare(experiment: Experiment, download: bool, shelf: Shelf) -> Parts:
    scenario = experiment.scenario
    learning = Streams(scenario.seeds.learning)
    data = _load(experiment, download, shelf)
    pool, held_back = _hold_back(len(data.train_y), scenario.dataset.validation, learning)
    network = _build_network(scenario, data, learning, shelf)
    read = partial(read_structure, network, data.input_shape, _tokens(data))
    structure = shelf.structures.get(network, read)
    _check_predictions(structure, data)
    world = world_of(scenario, experiment.catalogue)
    cost = world.cost
    clients = None if data.clients is None else data.clients[pool]
    speed = _speed(scenario, structure, cost, len(pool))
    partition = scenario.dataset.partition
    dealt = deal(partition, Pool(data.train_y[pool], clients), speed, learning.generator("partition"))
    shards = tuple(dealt.shards[shard] for shard in dealt.shard_of)
    samples = np.array([len(shard) for shard in shards], dtype=np.int64)
    ledger, misfit_notes = _ledger(scenario, structure, cost, samples)
    scenario = scenario.model_copy(update={"execution": _resolve_execution(scenario, network, structure)})
    notes = (
        *composition.notes(scenario.choices),
        *dealt.notes,
        *misfit_notes,
        *_untrained(ledger),
        *_discounts(scenario.cost),
        *timed_notes(scenario, cost.fleet),
    )
    return Parts(scenario, data, pool, held_back, shards, network, structure, world, ledger, notes)


def _load(experiment: Experiment, download: bool, shelf: Shelf) -> Data:
    dataset, given = experiment.scenario.dataset, experiment.scenario.data_root
    root = None if given is None else experiment.path.parent / Path(given).expanduser()
    return shelf.data.get((dataset, root), lambda: dataset.load(root, download))


def _hold_back(count: int, share: float, streams: Streams) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split 0..count-1 into the pool and the validation samples."""
    if share == 0:
        return np.arange(count), np.arange(0)
    order = streams.generator("validation").permutation(count)
    cut = round(count * share)
    if not 0 < cut < count:
        raise InputError(
            Problem(
                f"of {count} samples leaves one side empty, got {share}; bring it nearer to 0.5",
                "dataset.validation",
            )
        )
    return np.sort(order[cut:]), np.sort(order[:cut])


def _tokens(data: Data) -> int | None:
    """Size of the vocabulary where samples are tokens; null where they are numbers."""
    return data.classes if np.issubdtype(data.train_x.dtype, np.integer) else None


def _check_predictions(structure: ModelStructure, data: Data) -> None:
    """The model must predict what the data set has labels of.

    Raises:
        InputError: it predicts per sample where there is a label per position, or the reverse.
    """
    predicted, labels = structure.output_shape[:-1], data.train_y.shape[1:]
    if predicted != labels:
        message = (
            f"gives predictions of shape {predicted} for each sample, and the data set has labels of shape "
            f"{labels}; the models of text have predict: all for one per position, last for one per sample"
        )
        raise InputError(Problem(message, "model"))


def _build_network(scenario: Scenario, data: Data, streams: Streams, shelf: Shelf) -> nn.Module:
    reads_tokens, tokens = scenario.model.reads_tokens, _tokens(data)
    if reads_tokens is not None and reads_tokens != (tokens is not None):
        model, dataset = (f'"{registry.name_of(part)}"' for part in (scenario.model, scenario.dataset))
        wants, has = ("tokens", "numbers") if reads_tokens else ("numbers", "tokens")
        raise InputError(
            Problem(f"{model} takes {wants}, and {dataset} has {has}; choose another of them", "model")
        )
    seed = int(streams.bits("initialisation")) >> 1
    policy = scenario.training.batch_norm or scenario.submodel.batch_norm

    def draw() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = scenario.model.build(data.input_shape, data.classes)
        return without_running_statistics(network) if policy == "recalibrated" else network

    network = shelf.networks.get((scenario.model, data.input_shape, data.classes, seed, policy), draw)
    _check_batch_norm(network, scenario)
    return network


def _check_batch_norm(network: nn.Module, scenario: Scenario) -> None:
    """Running statistics can be asked for only where the model keeps some.

    Raises:
        InputError: running statistics are asked for, and the model keeps none.
    """
    if scenario.training.batch_norm == "running" and not has_running_statistics(network):
        message = (
            "is running, and the model has no batch norm that keeps running statistics; leave it out, or "
            "take a model of your own that has some"
        )
        raise InputError(Problem(message, "training.batch_norm"))


def _optimizer(scenario: Scenario) -> Optimizer:
    training = scenario.training
    if training.optimizer == "adam":
        return Adam(weight_decay=training.weight_decay)
    return Sgd(momentum=training.momentum, weight_decay=training.weight_decay)


def _local_work(scenario: Scenario) -> LocalWork:
    training = scenario.training
    epochs = training.epochs or (1 if training.steps is None else None)
    return LocalWork(epochs, training.steps, training.batch_size)


def _speed(
    scenario: Scenario, structure: ModelStructure, cost: CostModel, pooled: int
) -> NDArray[np.float64]:
    """Expected visits per second of each device, [devices]: full model, equal share of the pool."""
    devices = len(cost.fleet)
    share = max(1, pooled // (scenario.dataset.partition.clients or devices))
    full = Full().assign({}, structure, expected(1.0))
    work, optimizer = _local_work(scenario), _optimizer(scenario)
    charged = workload(structure, full, share, work, optimizer, structure)
    expected_s, _ = cost.expected_visits(charged, np.arange(devices))
    return 1 / expected_s


def _ledger(
    scenario: Scenario, structure: ModelStructure, cost: CostModel, samples: NDArray[np.int64]
) -> tuple[Ledger, list[str]]:
    """The books with a capacity for each device, and what there is to note about the fit."""
    work = _local_work(scenario)
    strategy = scenario.submodel
    ledger = Ledger(
        structure,
        strategy,
        work,
        _optimizer(scenario),
        samples,
        np.zeros(len(samples)),
        streams=Streams(scenario.seeds.learning),
        charging=_charging(scenario.cost),
        keep_latest=scenario.coordination.keeps_latest,
        incremental=scenario.server.multicast,
        together=scenario.choices.number("clients_per_round") or len(samples),
    )

    workload_of = partial(_workload_of, ledger)
    ledger.capacity = capacities(strategy, structure, cost, samples, workload_of)
    _check_capacities(ledger, cost.fleet, int(samples[0]))
    if scenario.growth.grows:
        ledger.growing = _growing(scenario.growth, ledger)
        ledger.has_memory = partial(_has_memory, cost)
    return ledger, misfits(strategy, structure, cost, samples, workload_of)


def _check_capacities(ledger: Ledger, fleet: Fleet, samples: int) -> None:
    """A capacity that the strategy refuses shows now, at the fleet entry where that gives it."""
    number = f"submodel.{getattr(ledger.strategy, 'number', None)}"
    fixed = ledger.strategy.fixed_capacity() is not None
    for capacity, first in zip(*np.unique(ledger.capacity, return_index=True), strict=True):
        try:
            _workload_of(ledger, float(capacity), samples)
        except InputError as error:
            written = number if fixed else f"fleet[{fleet.group[first]}].capacity"
            problems = (
                replace(each, path=written) if each.path == number else each for each in error.problems
            )
            raise InputError(*problems) from error


def _growing(rule: GrowthRule, ledger: Ledger) -> Growing:
    """The rule at its beginning; a rung that the strategy refuses shows now."""
    ladder = rule.rungs(ledger.strategy.ladder(ledger.structure), ledger.capacity)
    try:
        for rung in ladder:
            ledger.expected(rung)
    except InputError as error:
        raise InputError(*(replace(problem, path="growth.ladder") for problem in error.problems)) from error
    return Growing(rule, rule.begin(ladder, ledger.capacity))


def _has_memory(cost: CostModel, device: int, needed_bytes: int) -> bool:
    return bool(needed_bytes <= cost.fleet.memory_bytes[device])


def _charging(cost: CostOptions) -> Charging:
    return Charging(cost.sparse_speedup, cost.charge_mask_bytes, by_share=cost.accounting == "density")


def _workload_of(ledger: Ledger, capacity: float, samples: int) -> Workload:
    """What a visit of this capacity costs on a device with so many samples."""
    return ledger.workload_of(ledger.expected(capacity), samples)


def _discounts(cost: CostOptions) -> list[str]:
    """What is charged otherwise than it would be on a device as it is."""
    if not cost.sparse_speedup:
        return []
    return [
        f"cost.sparse_speedup: {cost.sparse_speedup:g}: seconds assume kernels that leave out"
        f" {cost.sparse_speedup:.0%} of the operations that masks make needless"
    ]


def _untrained(ledger: Ledger) -> list[str]:
    """What no device is given to train (algorithms 3.2)."""
    if not ledger.strategy.constant or ledger.growing is not None:
        return []  # what is drawn anew for each visit, or grows, reaches everything in time
    submodels = [ledger.expected(float(capacity)) for capacity in np.unique(ledger.capacity)]
    trained = frozenset[int]().union(*(submodel.layers for submodel in submodels))
    missed = [layer.name for index, layer in enumerate(ledger.structure.layers) if index not in trained]
    if missed:
        return [f"no device trains {', '.join(missed)}: these layers keep their initial values"]
    share = 1 - ledger.covered_fraction(submodels)
    return (
        [f"no device trains {share:.1%} of the parameters: they keep their initial values"] if share else []
    )


def _resolve_execution(scenario: Scenario, network: nn.Module, structure: ModelStructure) -> Any:
    """Decide what the scenario leaves to `auto`: by a rule, so that the same scenario runs the same way."""
    options = scenario.execution
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        message = f'is "{device}", but PyTorch finds no CUDA device here; use cpu, or auto'
        raise InputError(Problem(message, "execution.device"))
    convolutions = sum(layer.kind == "conv" for layer in structure.layers)
    on_cpu = device == "cpu"
    mode, reason = options.mode, unstackable(network)
    if mode == "auto":
        alone = reason is not None or (on_cpu and convolutions > 0)
        mode = "sequential" if alone else "stacked"
    elif mode == "stacked" and reason is not None:
        raise InputError(Problem(f"is stacked, but {reason}; use sequential", "execution.mode"))
    layout = options.memory_format
    if layout == "auto":
        suited = on_cpu and mode == "sequential" and 0 < convolutions < SHALLOW
        layout = "channels_last" if suited else "contiguous"
    return options.model_copy(update={"device": device, "mode": mode, "memory_format": layout})
