"""From a scenario to its parts, and from the parts to a run: the one place that knows both halves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgesim import registry
from edgesim.aggregation._aggregator import Aggregator
from edgesim.capacity import capacities, misfits
from edgesim.datasets._dataset import Data
from edgesim.datasets._partition import deal
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet
from edgesim.errors import InputError, Problem
from edgesim.learner import Learner, Workload
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.scenario import Experiment, Scenario
from edgesim.server.plan import EvaluationPlan, StopRule, Target
from edgesim.server.server import Server
from edgesim.simulation.engine import Observer, Simulation
from edgesim.submodels._submodel import Context
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution, Samples, Trainer, has_batch_statistics
from edgesim.training.evaluate import Evaluator, has_static_norms, tracking
from edgesim.training.federation import Federation
from edgesim.training.ledger import Ledger
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Adam, Optimizer, Sgd

SHALLOW = 8  # networks with fewer convolutions than this gain from channels-last batches on a CPU

_DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Parts:
    """Everything that a scenario names, built.

    Attributes:
        scenario: with the execution resolved.
        data: the samples.
        pool: indices of the training samples that are dealt to devices, [pool].
        held_back: indices of the validation samples.
        shards: per shard, positions in the pool.
        network: the initialised model.
        structure: of the model.
        cost: with the fleet.
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
    cost: CostModel
    ledger: Ledger
    notes: tuple[str, ...]

    @property
    def fleet(self) -> Fleet:
        """The devices."""
        return self.cost.fleet


def prepare(experiment: Experiment, *, download: bool = False) -> Parts:
    """Build everything that a scenario names; nothing is trained and nothing written.

    Raises:
        InputError: data that are not there, a depth that the model does not have, ...: with its place.
    """
    try:
        return _prepare(experiment, download)
    except InputError as error:
        raise experiment.placed(error) from error


def _prepare(experiment: Experiment, download: bool) -> Parts:
    scenario = experiment.scenario
    learning, timing = Streams(scenario.seeds.learning), Streams(scenario.seeds.timing)
    data = scenario.dataset.load(_data_root(experiment), download)
    pool, held_back = _hold_back(len(data.train_y), scenario.dataset.validation, learning)
    network = _build_network(scenario, data, learning)
    structure = read_structure(network, data.input_shape)
    fleet = Fleet.draw(scenario.fleet, experiment.catalogue, timing)
    dealt = deal(scenario.dataset.partition, data.train_y[pool], len(fleet), learning.generator("partition"))
    sizes = np.array([len(shard) for shard in dealt.shards], dtype=np.int64)
    samples = sizes[np.arange(len(fleet)) % len(sizes)]
    cost = CostModel(fleet, timing)
    ledger, misfit_notes = _ledger(scenario, structure, cost, samples)
    scenario = scenario.model_copy(update={"execution": _resolve_execution(scenario, network, structure)})
    notes = (*dealt.notes, *misfit_notes, *_untrained(ledger))
    return Parts(scenario, data, pool, held_back, dealt.shards, network, structure, cost, ledger, notes)


def _data_root(experiment: Experiment) -> Path | None:
    root = experiment.scenario.data_root
    return None if root is None else experiment.path.parent / Path(root).expanduser()


def _hold_back(count: int, share: float, streams: Streams) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split 0..count-1 into the pool and the validation samples."""
    if share == 0:
        return np.arange(count), np.arange(0)
    order = streams.generator("validation").permutation(count)
    cut = round(count * share)
    if not 0 < cut < count:
        raise InputError(
            Problem(f"of {count} samples leaves one side empty, got {share}", "dataset.validation")
        )
    return np.sort(order[cut:]), np.sort(order[:cut])


def _build_network(scenario: Scenario, data: Data, streams: Streams) -> nn.Module:
    seed = int(streams.bits("initialisation")) >> 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return scenario.model.build(data.input_shape, data.classes)


def _optimizer(scenario: Scenario) -> Optimizer:
    training = scenario.training
    if training.optimizer == "adam":
        return Adam(weight_decay=training.weight_decay)
    return Sgd(momentum=training.momentum, weight_decay=training.weight_decay)


def _ledger(
    scenario: Scenario, structure: ModelStructure, cost: CostModel, samples: NDArray[np.int64]
) -> tuple[Ledger, list[str]]:
    """The books with a capacity for each device, and what there is to note about the fit."""
    training = scenario.training
    epochs = training.epochs or (1 if training.steps is None else None)
    work = LocalWork(epochs, training.steps, training.batch_size)
    strategy = scenario.submodel
    ledger = Ledger(structure, strategy, work, _optimizer(scenario), samples, np.zeros(len(samples)))

    def workload_of(capacity: float, count: int) -> Workload:
        submodel = strategy.assign({}, structure, Context(device=0, visit=0, version=0, capacity=capacity))
        return ledger.workload_of(submodel, count)

    ledger.capacity = capacities(strategy, structure, cost, samples, workload_of)
    for capacity in np.unique(ledger.capacity):
        workload_of(float(capacity), int(samples[0]))  # a capacity that the strategy refuses shows now
    return ledger, misfits(strategy, structure, cost, samples, workload_of)


def _untrained(ledger: Ledger) -> list[str]:
    """What no device is given to train (algorithms 3.2)."""
    strategy, structure = ledger.strategy, ledger.structure
    submodels = {
        strategy.assign({}, structure, Context(0, 0, 0, float(capacity)))
        for capacity in np.unique(ledger.capacity)
    }
    deepest = min(submodel.first_layer for submodel in submodels)
    if deepest > 0:
        names = ", ".join(layer.name for layer in structure.layers[:deepest])
        return [f"no device trains {names}: these layers keep their initial values"]
    missed = 1 - ledger.covered_fraction(submodels)
    return (
        [f"no device trains {missed:.1%} of the parameters: they keep their initial values"] if missed else []
    )


def _resolve_execution(scenario: Scenario, network: nn.Module, structure: ModelStructure) -> Any:
    """Decide what the scenario leaves to `auto`: by a rule, so that the same scenario runs the same way."""
    options = scenario.execution
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(Problem(f'is "{device}", but PyTorch finds no CUDA device here', "execution.device"))
    convolutions = sum(layer.kind == "conv" for layer in structure.layers)
    on_cpu = device == "cpu"
    mode = options.mode
    if mode == "auto":
        alone = has_batch_statistics(network) or (on_cpu and convolutions > 0)
        mode = "sequential" if alone else "stacked"
    elif mode == "stacked" and has_batch_statistics(network):
        raise InputError(
            Problem("is stacked, but batch norm would see the padding; use sequential", "execution.mode")
        )
    layout = options.memory_format
    if layout == "auto":
        suited = on_cpu and mode == "sequential" and 0 < convolutions < SHALLOW
        layout = "channels_last" if suited else "contiguous"
    return options.model_copy(update={"device": device, "mode": mode, "memory_format": layout})


# ------------------------------------------------------------------------------------------------- one run


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind, before it is written.

    Attributes:
        reason: why it ended.
        tables: columns of each table.
        weights: of the last version; null where nothing was trained.
        wall_s: host seconds by what they were spent on.
        notes: warnings from building and running.
    """

    reason: str
    tables: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, NDArray[Any]] | None
    wall_s: Mapping[str, float]
    notes: tuple[str, ...]


Progress = Callable[[float, int], None]
"""Told the virtual time and the rounds so far, after each event."""


def execute(parts: Parts, *, timing_only: bool = False, progress: Progress | None = None) -> Outcome:
    """Run one federation to its end. The parts are left as they were.

    Args:
        parts: from `prepare`.
        timing_only: the real strategies and costs, and no training.
        progress: is told how far the run is.

    Raises:
        InputError: timing alone cannot end this scenario, or cannot know its costs.
        RunFailed: the run cannot be completed.
    """
    if timing_only:
        _check_timing_only(parts.scenario)
    return fold(parts, parts.ledger.fresh() if timing_only else federation(parts), progress)


class Accounting(Learner, Protocol):
    """A learner that can say in the end what was trained how often."""

    def coverage(self) -> Mapping[str, Sequence[Any]]:
        """Columns of the coverage table."""
        ...


def fold(parts: Parts, learner: Accounting, progress: Progress | None = None) -> Outcome:
    """Run one federation with this learner to its end.

    Raises:
        RunFailed: the run cannot be completed.
    """
    started = time.perf_counter()
    scenario = parts.scenario
    server = Server(
        devices=len(parts.fleet),
        profile_of=parts.fleet.profile_of,
        policy=scenario.coordination,
        selector=scenario.selection,
        learner=learner,
        streams=Streams(scenario.seeds.timing),
        stop=_stop_rule(scenario),
        evaluation=EvaluationPlan(
            every_rounds=scenario.evaluate.every.rounds, every_s=scenario.evaluate.every.seconds
        ),
    )
    with threads(scenario.execution.threads):
        reason = Simulation(server, parts.cost, _observer(server, progress)).run()
        tables = server.finish()
    wall_s = dict(learner.wall_s) if isinstance(learner, Federation) else {}
    wall_s["total"] = time.perf_counter() - started
    return Outcome(
        reason=reason,
        tables={
            "dispatches": tables.dispatches,
            "aggregations": tables.aggregations,
            "evaluations": tables.evaluations,
            "coverage": learner.coverage(),
        },
        weights=_arrays(learner) if isinstance(learner, Federation) else None,
        wall_s=wall_s,
        notes=parts.notes,
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _observer(server: Server, progress: Progress | None) -> Observer | None:
    if progress is None:
        return None
    return lambda time_s, _event: progress(time_s, server.view.rounds)


def _arrays(learner: Federation) -> dict[str, NDArray[Any]]:
    return {name: value.detach().cpu().numpy() for name, value in learner.weights.items()}


def _check_timing_only(scenario: Scenario) -> None:
    stop = scenario.stop
    if stop.rounds is None and stop.time is None and stop.dispatches is None:
        raise InputError(
            Problem(
                "is the only stop, and --timing-only measures no accuracy; add rounds or time", "stop.target"
            )
        )
    for key, part in (("coordination", scenario.coordination), ("selection", scenario.selection)):
        if part.reads_loss:
            name = registry.name_of(part)
            raise InputError(Problem(f'"{name}" decides by losses, and --timing-only trains nothing', key))
    if scenario.submodel.costs_need_weights:
        name = registry.name_of(scenario.submodel)
        raise InputError(Problem(f'"{name}" has costs that depend on the weights', "submodel"))


def _stop_rule(scenario: Scenario) -> StopRule:
    stop = scenario.stop
    targets = [Target(metric=metric, value=value) for metric, value in (stop.target or {}).items()]
    return StopRule(
        rounds=stop.rounds,
        time_s=stop.time,
        dispatches=stop.dispatches,
        target=targets[0] if targets else None,
    )


def federation(parts: Parts) -> Federation:
    """The learner that trains, for these parts."""
    scenario, data = parts.scenario, parts.data
    streams = Streams(scenario.seeds.learning)
    options = scenario.execution
    execution = Execution(
        mode="stacked" if options.mode == "stacked" else "sequential",
        cohort=options.cohort,
        channels_last=options.memory_format == "channels_last",
        device=options.device,
    )
    place = _placer(options.device, _DTYPES[options.precision])
    training = scenario.training
    objective = Objective(
        rule=scenario.submodel.rule,
        loss=training.loss,
        proximal=training.proximal,
        clip_norm=training.clip_norm,
        precision=options.precision,
    )
    pool = place(data.train_x[parts.pool], data.train_y[parts.pool])
    network = parts.network
    trainer = Trainer(
        network=network,
        objective=objective,
        optimizer=parts.ledger.optimizer,
        samples=pool,
        execution=execution,
        streams=streams,
        batch_size=parts.ledger.work.batch(int(parts.ledger.samples.max())),
    )
    splits = {"": place(data.test_x, data.test_y)}
    if len(parts.held_back):
        splits["validation_"] = place(data.train_x[parts.held_back], data.train_y[parts.held_back])
    if scenario.evaluate.train:
        splits["train_"] = pool
    return Federation(
        ledger=parts.ledger.fresh(),
        trainer=trainer,
        aggregator=_aggregator(scenario),
        evaluators=_evaluators(parts, splits, pool),
        shards=parts.shards,
        streams=streams,
        learning_rate=lambda version: training.learning_rate * training.schedule.factor(version),
        weights={
            name: value.detach()
            .to(options.device, _DTYPES[options.precision] if value.is_floating_point() else None)
            .clone()
            for name, value in network.state_dict().items()
        },
    )


def _evaluators(parts: Parts, splits: Mapping[str, Samples], pool: Samples) -> dict[str, Evaluator]:
    """One evaluator per split; static batch norms are recalibrated on samples of the pool."""
    scenario, options = parts.scenario, parts.scenario.execution
    network, calibration = parts.network, None
    if has_static_norms(network):
        network = tracking(network, _DTYPES[options.precision], options.device)
        order = Streams(scenario.seeds.learning).generator("calibration").permutation(len(pool.y))
        chosen = torch.from_numpy(order[: scenario.evaluate.recalibrate])
        calibration = Samples(pool.x[chosen], pool.y[chosen])
    channels_last = options.memory_format == "channels_last"
    return {
        prefix: Evaluator(network, samples, scenario.training.loss, channels_last, calibration)
        for prefix, samples in splits.items()
    }


def _aggregator(scenario: Scenario) -> Aggregator:
    """The scenario's aggregation, or the sub-model's own."""
    if scenario.aggregation is not None:
        return scenario.aggregation
    strategy = scenario.submodel
    made: Aggregator = registry.builtin("aggregation", strategy.aggregation)(weights=strategy.client_weights)
    return made


def _placer(device: str, dtype: torch.dtype) -> Callable[[NDArray[Any], NDArray[Any]], Samples]:
    def place(x: NDArray[Any], y: NDArray[Any]) -> Samples:
        return Samples(torch.from_numpy(x).to(device, dtype), torch.from_numpy(y).to(device))

    return place
