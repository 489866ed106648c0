"""From the parts of a scenario to a run: the one place where both halves meet."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgesim import registry
from edgesim.coordination._until import UntilFinished
from edgesim.devices.topology import Topology
from edgesim.errors import InputError, Problem
from edgesim.heap import frozen_heap
from edgesim.learner import Learner
from edgesim.parts import Parts
from edgesim.rng import Streams
from edgesim.scenario import Scenario
from edgesim.server.plan import EvaluationPlan, StopRule, Target
from edgesim.server.policy import Policy
from edgesim.server.server import Server
from edgesim.simulation.charge import Charge
from edgesim.simulation.clock import Clock
from edgesim.simulation.engine import Simulation
from edgesim.simulation.link_books import LinkBooks
from edgesim.training.client_models import ClientModels
from edgesim.training.cohorts import Execution, Samples, Trainer
from edgesim.training.evaluate import Evaluator, has_static_norms, tracking
from edgesim.training.federation import Federation
from edgesim.training.objective import Loss, Objective

_DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind, before it is written.

    Attributes:
        reason: why it ended.
        tables: columns of each table.
        weights: of the last version; null where nothing was trained.
        wall_s: host seconds by what they were spent on.
        notes: warnings from building and running.
        present_s: seconds for which devices were there, from the begin of the run to its end.
    """

    reason: str
    tables: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, NDArray[Any]] | None
    wall_s: Mapping[str, float]
    notes: tuple[str, ...]
    present_s: Callable[[NDArray[np.int64], float, float], NDArray[np.float64]]


Progress = Callable[[Simulation], None]
"""Told after each event."""


def execute(
    parts: Parts,
    *,
    timing_only: bool = False,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Run one federation to its end. The parts are left as they were.

    Args:
        parts: from `prepare`.
        timing_only: the real strategies and costs, and no training.
        progress: looks at the run after each event.
        clock: one that plays the run; as fast as can be where absent.

    Raises:
        InputError: timing alone cannot end this scenario, or cannot know its costs.
        RunFailed: the run cannot be completed.
    """
    if timing_only:
        check_timing_only(parts.scenario)
    return fold(parts, parts.ledger.fresh() if timing_only else federation(parts), progress, clock)


class Accounting(Learner, Protocol):
    """A learner that can say in the end what it did."""

    @property
    def finished(self) -> bool:
        """Whether it sees nothing more to gain, so that the run may end."""
        ...

    def tables(self) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """Columns of the tables of what was trained, by table."""
        ...


def fold(
    parts: Parts, learner: Accounting, progress: Progress | None = None, clock: Clock | None = None
) -> Outcome:
    """Run one federation with this learner to its end.

    Raises:
        RunFailed: the run cannot be completed.
    """
    started = time.perf_counter()
    scenario, world = parts.scenario, parts.world
    stays = world.presence if world.batteries is None else Charge(world.presence, world.batteries)
    server = Server(
        roster=parts.roster,
        presence=stays,
        policy=_policy(scenario, learner),
        selector=scenario.selection,
        learner=learner,
        streams=Streams(scenario.seeds.timing),
        stop=_stop_rule(scenario),
        evaluation=EvaluationPlan(
            every_rounds=scenario.evaluate.every.rounds, every_s=scenario.evaluate.every.seconds
        ),
    )
    with threads(scenario.execution.threads), frozen_heap():
        simulation = Simulation(
            server,
            world.cost,
            None if progress is None else lambda _time_s, _event: progress(simulation),
            stays=stays,
            routes=world.topology,
            mishaps=world,
            clock=clock,
        )
        reason = simulation.run()
        tables = server.finish()
    wall_s = dict(learner.wall_s) if isinstance(learner, Federation) else {}
    wall_s["total"] = time.perf_counter() - started
    return Outcome(
        reason=reason,
        tables={
            "dispatches": tables.dispatches,
            "aggregations": tables.aggregations,
            "evaluations": tables.evaluations,
            **_links(world.topology, simulation.links.books),
            **learner.tables(),
        },
        weights=_arrays(learner) if isinstance(learner, Federation) else None,
        wall_s=wall_s,
        notes=parts.notes,
        present_s=stays.present_s,
    )


def _policy(scenario: Scenario, learner: Accounting) -> Policy:
    """The scenario's, which stops where growth sees nothing more to gain."""
    if not scenario.growth.grows:
        return scenario.coordination
    return UntilFinished(scenario.coordination, lambda: learner.finished)


def _links(topology: Topology, books: LinkBooks) -> dict[str, dict[str, list[Any]]]:
    """Columns of the table of shared links, where there are any."""
    if not len(topology.capacities_bps):
        return {}
    columns = {
        "link": [topology.name(link) for link in range(len(topology.capacities_bps))],
        "capacity_bps": topology.capacities_bps.tolist(),
        "bits": books.carried_bits.tolist(),
        "busy_s": books.busy_s.tolist(),
        "peak_bps": (books.peak_utilisation * topology.capacities_bps).tolist(),
    }
    return {"links": columns}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _arrays(learner: Federation) -> dict[str, NDArray[Any]]:
    return {name: value.detach().cpu().numpy() for name, value in learner.weights.items()}


def check_timing_only(scenario: Scenario) -> None:
    """Refuse what a run without training cannot do.

    Raises:
        InputError: nothing but an accuracy ends it, or something goes by losses, accuracies or weights.
    """
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
            message = f'"{name}" decides by losses, and --timing-only trains nothing; train, or take another'
            raise InputError(Problem(message, key))
    if scenario.growth.needs_accuracy:
        name = registry.name_of(scenario.growth)
        message = f'"{name}" decides by accuracies, and --timing-only trains nothing; train, or take another'
        raise InputError(Problem(message, "growth"))
    if scenario.submodel.costs_need_weights and scenario.cost.sparse_speedup:
        name = registry.name_of(scenario.submodel)
        message = (
            f'makes seconds depend on the weights, as "{name}" chooses by them which layers are thin; train, '
            "or leave it at 0"
        )
        raise InputError(Problem(message, "cost.sparse_speedup"))


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
    pool = place(data.train_x[parts.pool], data.train_y[parts.pool])
    network = parts.network
    trainer = Trainer(
        network=network,
        objective=objective(scenario),
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
    evaluators = _evaluators(parts, splits, pool)
    return Federation(
        ledger=parts.ledger.fresh(),
        trainer=trainer,
        aggregator=scenario.aggregation,
        evaluators=evaluators,
        clients=_clients(parts, evaluators, _DTYPES[options.precision]),
        shards=parts.shards,
        streams=streams,
        learning_rate=lambda version: training.learning_rate * training.schedule.factor(version),
        weights=initial_weights(parts),
        rungs=_rungs(parts),
    )


def objective(scenario: Scenario) -> Objective:
    """What a visit's training minimises."""
    training = scenario.training
    return Objective(
        rule=scenario.submodel.rule,
        loss=_loss(scenario),
        proximal=training.proximal,
        clip_norm=training.clip_norm,
        precision=scenario.execution.precision,
    )


def _rungs(parts: Parts) -> tuple[float, ...]:
    """The capacities whose sub-models are evaluated."""
    strategy = parts.scenario.submodel
    asked = parts.scenario.evaluate.submodels and strategy.scalar
    return strategy.ladder(parts.structure) if asked else ()


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
    elements = math.prod(parts.structure.output_shape)
    optimum = None if parts.data.optimum is None else _parameters(parts, parts.data.optimum)
    return {
        prefix: Evaluator(
            network,
            samples,
            _loss(scenario),
            channels_last,
            calibration,
            elements,
            optimum if prefix == "" else None,
        )
        for prefix, samples in splits.items()
    }


def _loss(scenario: Scenario) -> Loss:
    """What the scenario chose, unless its model gives the loss itself."""
    return "output" if scenario.model.gives_loss else scenario.training.loss


def initial_weights(parts: Parts) -> dict[str, Tensor]:
    """Parameters and buffers of version 0: as the model drew them, or where the data set has it begin."""
    options, network = parts.scenario.execution, parts.network
    drawn = {
        name: value.detach()
        .to(options.device, _DTYPES[options.precision] if value.is_floating_point() else None)
        .clone()
        for name, value in (*network.named_parameters(), *network.named_buffers())
    }
    return drawn if parts.data.start is None else drawn | _parameters(parts, parts.data.start)


def _parameters(parts: Parts, values: NDArray[np.float64]) -> dict[str, Tensor]:
    """Values [parameters] by name and in the shapes of the model's parameters."""
    options = parts.scenario.execution
    flat = torch.from_numpy(values).to(options.device, _DTYPES[options.precision])
    named = dict(parts.network.named_parameters())
    pieces = torch.split(flat, [p.numel() for p in named.values()])
    return {name: piece.reshape(p.shape) for (name, p), piece in zip(named.items(), pieces, strict=True)}


def _clients(parts: Parts, evaluators: Mapping[str, Evaluator], dtype: torch.dtype) -> ClientModels | None:
    """The last trained sub-models, where growth looks at them."""
    growth = parts.scenario.growth
    if not growth.needs_accuracy:
        return None
    evaluator = evaluators["" if growth.split == "test" else "validation_"]
    return ClientModels(lambda network: evaluator.of(network, dtype), parts.network)


def _placer(device: str, dtype: torch.dtype) -> Callable[[NDArray[Any], NDArray[Any]], Samples]:
    def place(x: NDArray[Any], y: NDArray[Any]) -> Samples:
        samples = torch.from_numpy(x)
        kind = dtype if samples.is_floating_point() else None  # tokens stay tokens
        return Samples(samples.to(device, kind), torch.from_numpy(y).to(device))

    return place
