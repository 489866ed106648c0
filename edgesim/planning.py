"""What a run would cost on each class of devices, and here: worked out before anything is trained."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgesim.experiment import execute, federation, threads
from edgesim.growth.none import NoGrowth
from edgesim.learner import Order, Workload
from edgesim.parts import Parts

_GROWS = "growth is left out of the plan: devices have the capacities with which they begin"
_TRIAL_ROUNDS = 10
_REPEATS = 3  # visits timed per sub-model, after one that makes its plan


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """One visit on the devices of a fleet entry that share a capacity; samples and memory are the median's.

    Attributes:
        devices: how many share it.
        profile: name of their device profile or population.
        submodel: what they train.
        capacity: on the strategy's ladder.
        samples: of the median device.
        bytes_down: of a download.
        bytes_up: of an upload.
        memory_bytes: needed for training.
        memory_available_bytes: of the device.
        download_s: expected by the median over the devices: without jitter, slowdown, load and throttling.
        compute_s: likewise.
        upload_s: likewise.
        cost_basis: how the seconds of computing are known.
        bottleneck: the longest phase, or `memory` where the sub-model does not fit on most.
    """

    devices: int
    profile: str
    submodel: str
    capacity: float
    samples: int
    bytes_down: int
    bytes_up: int
    memory_bytes: int
    memory_available_bytes: int
    download_s: float
    compute_s: float
    upload_s: float
    cost_basis: str
    bottleneck: str


@dataclass(frozen=True, slots=True)
class HostEstimate:
    """How long a run will take on this host.

    Attributes:
        visits: aggregated visits up to the stop rule, target aside.
        virtual_s: virtual seconds up to there.
        wall_s: host seconds, from timing a few real visits and an evaluation; null where only a target ends.
        round_wall_s: host seconds of one mean round.
    """

    visits: int | None
    virtual_s: float | None
    wall_s: float | None
    round_wall_s: float


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """What `edgesim plan` tells about one variant."""

    variant: str
    classes: tuple[ClassPlan, ...]
    host: HostEstimate
    notes: tuple[str, ...]


def plan(parts: Parts, variant: str) -> VariantPlan:
    """Work out the plan of one variant, with the capacities with which the devices begin."""
    grows = parts.scenario.growth.grows
    notes = (*parts.notes, *([_GROWS] if grows else []))
    return VariantPlan(variant, tuple(class_plans(parts)), estimate_host(_without_growth(parts)), notes)


def _without_growth(parts: Parts) -> Parts:
    scenario = parts.scenario.model_copy(update={"growth": NoGrowth()})
    return replace(parts, scenario=scenario, ledger=replace(parts.ledger, growing=None))


def class_plans(parts: Parts) -> list[ClassPlan]:
    """One row per fleet entry and capacity, in the order of the fleet."""
    groups, capacity = parts.fleet.group, parts.ledger.capacity
    keys = sorted({(int(group), float(value)) for group, value in zip(groups, capacity, strict=True)})
    return [_class_plan(parts, *key) for key in keys]


def _class_plan(parts: Parts, group: int, capacity: float) -> ClassPlan:
    devices = np.flatnonzero((parts.fleet.group == group) & (parts.ledger.capacity == capacity))
    samples = int(np.sort(parts.ledger.samples[devices])[len(devices) // 2])
    work = _workload(parts, capacity, samples)
    phases = parts.cost.expected(work, devices)
    seconds = {
        "download": float(np.median(phases.download_s)),
        "compute": float(np.median(phases.compute_s)),
        "upload": float(np.median(phases.upload_s)),
    }
    longest = max(seconds, key=lambda phase: seconds[phase])
    return ClassPlan(
        devices=len(devices),
        profile=parts.fleet.profiles[group],
        submodel=work.submodel,
        capacity=capacity,
        samples=samples,
        bytes_down=work.bytes_down,
        bytes_up=work.bytes_up,
        memory_bytes=work.memory_bytes,
        memory_available_bytes=int(np.median(parts.fleet.memory_bytes[devices])),
        download_s=seconds["download"],
        compute_s=seconds["compute"],
        upload_s=seconds["upload"],
        cost_basis=parts.cost.basis(work, int(devices[0])),
        bottleneck=longest if phases.fits.mean() >= 0.5 else "memory",
    )


def _workload(parts: Parts, capacity: float, samples: int) -> Workload:
    return parts.ledger.workload_of(parts.ledger.expected(capacity), samples)


def estimate_host(parts: Parts) -> HostEstimate:
    """Time a few real visits and an evaluation here, and multiply by what the timeline asks for."""
    stop = parts.scenario.stop
    bounded = stop.rounds is not None or stop.time is not None or stop.dispatches is not None
    timeline = execute(parts if bounded else _ending(parts), timing_only=True).tables
    rows = timeline["dispatches"]
    merged = [place for place, outcome in enumerate(rows["outcome"]) if outcome == "aggregated"]
    devices = [rows["device"][place] for place in merged]
    with threads(parts.scenario.execution.threads):
        visit_s, evaluation_s = _time_here(parts, devices)
    versions = set(timeline["evaluations"]["version"])
    total_s = sum(visit_s[parts.ledger.capacity[device]] for device in devices) + evaluation_s * len(versions)
    rounds = max(1, len(timeline["aggregations"]["time_s"]))
    return HostEstimate(
        visits=len(merged) if bounded else None,
        virtual_s=float(timeline["evaluations"]["time_s"][-1]) if bounded else None,
        wall_s=total_s if bounded else None,
        round_wall_s=total_s / rounds,
    )


def _ending(parts: Parts) -> Parts:
    """The same with a few rounds, where only a target ends the run."""
    stop = parts.scenario.stop.model_copy(update={"rounds": _TRIAL_ROUNDS})
    return replace(parts, scenario=parts.scenario.model_copy(update={"stop": stop}))


def _time_here(parts: Parts, devices: Sequence[int]) -> tuple[dict[float, float], float]:
    """Host seconds of a visit by capacity, and of one evaluation."""
    learner = federation(parts)
    most = Counter(devices)
    number = 0
    seconds: dict[float, float] = {}
    for capacity in np.unique(parts.ledger.capacity):
        device = next((d for d, _ in most.most_common() if parts.ledger.capacity[d] == capacity), None)
        if device is None:
            continue
        for repeat in range(2):  # the first makes the plan
            count = _REPEATS * repeat or 1
            orders = [Order(number + i, device, i, 0, 0.0) for i in range(count)]
            number += count
            learner.assign(orders)
            started = time.perf_counter()
            learner.aggregate([order.dispatch for order in orders], [0] * count, 0.0)
            seconds[float(capacity)] = (time.perf_counter() - started) / count
    started = time.perf_counter()
    learner.evaluate()
    return seconds, time.perf_counter() - started
