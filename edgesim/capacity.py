"""Which capacity each device gets: fixed by the scenario, written in the fleet, or fitted to a target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.cost import CostModel
from edgesim.learner import Workload
from edgesim.models._structure import ModelStructure
from edgesim.submodels._submodel import SubmodelStrategy

Floats = NDArray[np.float64]

DEFAULT_SHARE = 0.5  # of the slowest class's full-model visit (design section 4)

WorkloadOf = Callable[[float, int], Workload]
"""The workload of a capacity on a device with so many samples."""


def capacities(
    strategy: SubmodelStrategy,
    structure: ModelStructure,
    cost: CostModel,
    samples: NDArray[np.int64],
    workload_of: WorkloadOf,
) -> Floats:
    """Capacity of each device, [devices].

    A number in the strategy holds for all; else the fleet entry's `capacity`; else the largest on the ladder
    whose expected visit (download, compute, upload; no jitter) meets the target and whose memory fits, or the
    smallest where none does. Expected is what a device does when cool and free of other load: of what makes
    stragglers only `slow_devices` counts.
    """
    fixed = strategy.fixed_capacity()
    if fixed is not None:
        return np.full(len(samples), fixed)
    given = cost.fleet.capacity
    wanted = np.flatnonzero(np.isnan(given))
    chosen = np.array(given)
    if wanted.size:
        ladder = strategy.ladder(structure)
        target_s = target_of(strategy, structure, cost, samples, workload_of)
        chosen[wanted] = _fit(ladder, target_s, cost, samples, workload_of, wanted)
    return chosen


def target_of(
    strategy: SubmodelStrategy,
    structure: ModelStructure,
    cost: CostModel,
    samples: NDArray[np.int64],
    workload_of: WorkloadOf,
) -> float:
    """Seconds of a visit that capacities are fitted to: the strategy's own, or the default share."""
    target_s = strategy.fit_target_s()
    if target_s is not None:
        return target_s
    return DEFAULT_SHARE * slowest_visit_s(cost, samples, workload_of, strategy.ladder(structure)[-1])


def misfits(
    strategy: SubmodelStrategy,
    structure: ModelStructure,
    cost: CostModel,
    samples: NDArray[np.int64],
    workload_of: WorkloadOf,
) -> list[str]:
    """A note for each fleet entry with devices for which even the smallest capacity is too much."""
    fitted = np.flatnonzero(np.isnan(cost.fleet.capacity))
    if strategy.fixed_capacity() is not None or not fitted.size:
        return []
    target_s = target_of(strategy, structure, cost, samples, workload_of)
    seconds, fits = _expected(cost, samples, workload_of, strategy.ladder(structure)[0], fitted)
    notes = []
    for group, profile in enumerate(cost.fleet.profiles):
        there = cost.fleet.group[fitted] == group
        late = int((there & (seconds > target_s)).sum())
        if late:
            notes.append(
                f"{profile}: on {late} of {int(there.sum())} even the smallest sub-model takes longer than"
                " the fit target; they train the smallest"
            )
        small = int((there & ~fits).sum())
        if small:
            where = "" if small == there.sum() else f"on {small} of {int(there.sum())} "
            notes.append(f"{profile}: {where}even the smallest sub-model does not fit in its memory")
    return notes


def expected_visits_s(
    cost: CostModel, samples: NDArray[np.int64], chosen: Floats, workload_of: WorkloadOf
) -> Floats:
    """Expected seconds of a visit of each device with the capacity chosen for it, [devices]."""
    seconds = np.empty(len(samples))
    for capacity in np.unique(chosen):
        there = np.flatnonzero(chosen == capacity)
        seconds[there], _ = _expected(cost, samples, workload_of, float(capacity), there)
    return seconds


def slowest_visit_s(
    cost: CostModel, samples: NDArray[np.int64], workload_of: WorkloadOf, largest: float
) -> float:
    """Expected seconds of a full-model visit in the slowest fleet entry, by the median of its devices.

    A population is one entry, whose slower half takes longer than this.
    """
    seconds, _ = _expected(cost, samples, workload_of, largest, np.arange(len(samples)))
    groups = cost.fleet.group
    return max(float(np.median(seconds[groups == group])) for group in np.unique(groups))


def _fit(
    ladder: tuple[float, ...],
    target_s: float,
    cost: CostModel,
    samples: NDArray[np.int64],
    workload_of: WorkloadOf,
    devices: NDArray[np.int64],
) -> Floats:
    chosen = np.full(len(devices), ladder[0])
    for capacity in ladder:
        seconds, fits = _expected(cost, samples, workload_of, capacity, devices)
        chosen[(seconds <= target_s) & fits] = capacity
    return chosen


def _expected(
    cost: CostModel,
    samples: NDArray[np.int64],
    workload_of: WorkloadOf,
    capacity: float,
    devices: NDArray[np.int64],
) -> tuple[Floats, NDArray[np.bool_]]:
    """Expected seconds of a visit and whether it fits in memory, for each of these devices."""
    seconds = np.empty(len(devices))
    fits = np.empty(len(devices), dtype=bool)
    for count in np.unique(samples[devices]):
        there = np.flatnonzero(samples[devices] == count)
        charged = workload_of(capacity, int(count))
        seconds[there], fits[there] = cost.expected_visits(charged, devices[there])
    return seconds, fits
