"""Which capacity a device gets, with seconds that one can work out by hand.

A visit at depth d with n samples downloads 1000 bytes, takes d n million operations and uploads 100 d bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgesim.capacity import capacities, misfits, slowest_visit_s
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet
from edgesim.learner import Part, Workload
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Fit, SubmodelStrategy
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.full import Full
from tests.fakes import WORKLOAD
from tests.training.visits import make

NAN = float("nan")


@pytest.fixture(scope="module")
def structure() -> ModelStructure:
    """Three layers."""
    return read_structure(make("mlp", torch.float32), (1, 6, 6))


def workload_of(depth: float, samples: int) -> Workload:
    return replace(
        WORKLOAD,
        forward_flops=0,
        backward_flops=int(depth) * samples * 1_000_000,
        parts_down=(Part("model", 1000),),
        bytes_up=100 * int(depth),
        memory_bytes=1000 * int(depth),
        steps=0,
    )


def cost(
    rates_mflops: Sequence[float],
    *,
    memory_bytes: float | Sequence[float] = np.inf,
    capacity: float | Sequence[float] = NAN,
    downlink_bps: float = np.inf,
    uplink_bps: float = np.inf,
    latency_s: float = 0.0,
    groups: Sequence[int] | None = None,
) -> CostModel:
    """Devices with these rates, a fleet entry each unless `groups` says otherwise; nothing jitters."""
    count = len(rates_mflops)

    def column(value: float | Sequence[float]) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))

    group = np.array(range(count) if groups is None else groups, dtype=np.int32)
    entries = int(group.max()) + 1
    fleet = Fleet(
        group=group,
        rate_flops=1e6 * column(rates_mflops),
        step_overhead_s=column(0.0),
        compute_jitter=column(0.0),
        downlink_bps=column(downlink_bps),
        uplink_bps=column(uplink_bps),
        latency_s=column(latency_s),
        network_jitter=column(0.0),
        memory_bytes=column(memory_bytes),
        idle_w=column(NAN),
        active_w=column(NAN),
        radio_down_w=column(NAN),
        radio_up_w=column(NAN),
        radio_down_j_per_bit=column(NAN),
        radio_up_j_per_bit=column(NAN),
        capacity=column(capacity),
        profiles=tuple(f"profile-{number}" for number in range(entries)),
        stragglers=(None,) * entries,
        loads=(None,) * entries,
        throttlings=(None,) * entries,
        bases=("measured",) * entries,
        work_scale=column(1.0),
        measured=(None,) * entries,
    )
    return CostModel(fleet, Streams(1))


def chosen(
    structure: ModelStructure, strategy: SubmodelStrategy, model: CostModel, samples: Sequence[int]
) -> list[float]:
    return list(capacities(strategy, structure, model, np.array(samples), workload_of))


def within(target_s: float) -> FedPMT:
    return FedPMT(fit=Fit(target=target_s))


def test_each_device_gets_the_deepest_submodel_that_meets_the_target(structure: ModelStructure) -> None:
    """10 samples at 5, 1.4, 1 and 0.9 MFLOP/s take d times 2, 7.1, 10 and 11.1 s."""
    assert chosen(structure, within(20.0), cost([5, 1.4, 1, 0.9]), [10] * 4) == [3, 2, 2, 1]


def test_meeting_the_target_exactly_is_meeting_it(structure: ModelStructure) -> None:
    assert chosen(structure, within(20.0), cost([1.0]), [10]) == [2]


def test_more_samples_leave_less_depth(structure: ModelStructure) -> None:
    assert chosen(structure, within(20.0), cost([1.0] * 3), [6, 10, 11]) == [3, 2, 1]


def test_download_and_upload_belong_to_a_visit(structure: ModelStructure) -> None:
    """1 s down, 0.1 d s up, and twice half a second of latency, beside d seconds of compute."""
    links = {"downlink_bps": 8000.0, "uplink_bps": 8000.0, "latency_s": 0.5}
    assert [
        chosen(structure, within(target_s), cost([10.0], **links), [10]) for target_s in (3.0, 4.2, 5.2, 5.3)
    ] == [[1], [2], [2], [3]]


def test_where_even_the_smallest_misses_the_target_it_is_the_smallest(structure: ModelStructure) -> None:
    model = cost([5.0, 0.1])
    assert chosen(structure, within(20.0), model, [10, 10]) == [3, 1]
    (note,) = misfits(within(20.0), structure, model, np.array([10, 10]), workload_of)
    assert note.startswith("profile-1: on 1 of 1 even the smallest sub-model takes longer")


def test_what_does_not_fit_in_memory_is_not_chosen(structure: ModelStructure) -> None:
    model = cost([100.0] * 4, memory_bytes=[5000, 2999, 1000, 10])
    assert chosen(structure, within(20.0), model, [10] * 4) == [3, 2, 1, 1]
    (note,) = misfits(within(20.0), structure, model, np.array([10] * 4), workload_of)
    assert note == "profile-3: even the smallest sub-model does not fit in its memory"


def test_the_default_target_is_half_of_the_slowest_class_with_the_full_model(
    structure: ModelStructure,
) -> None:
    """Classes of 30 s and 60 s at depth 3; half of 60 s leaves depth 3 to the first and 1 to the second."""
    model = cost([1.0, 0.5])
    assert slowest_visit_s(model, np.array([10, 10]), workload_of, 3.0) == 60
    assert chosen(structure, FedPMT(), model, [10, 10]) == [3, 1]
    assert chosen(structure, FedPMT(fit=Fit()), model, [10, 10]) == [3, 1]


def test_a_class_is_as_slow_as_its_median_device() -> None:
    """The second class takes 30, 60 and 600 s: 60 is its median, not the straggler with 200 samples."""
    model = cost([1.0, 0.5, 0.5, 0.5], groups=[0, 1, 1, 1])
    assert slowest_visit_s(model, np.array([10, 5, 10, 100]), workload_of, 3.0) == 60


def test_a_capacity_in_the_fleet_wins_over_fitting(structure: ModelStructure) -> None:
    assert chosen(structure, within(20.0), cost([1.0] * 3, capacity=[3, NAN, 1]), [10] * 3) == [3, 2, 1]


def test_a_depth_in_the_strategy_wins_over_all(structure: ModelStructure) -> None:
    model = cost([1.0] * 3, capacity=[3, NAN, 1], memory_bytes=10)
    assert chosen(structure, FedPMT(depth=2), model, [10] * 3) == [2, 2, 2]
    assert misfits(FedPMT(depth=2), structure, model, np.array([10] * 3), workload_of) == []


def test_the_full_model_is_given_to_all(structure: ModelStructure) -> None:
    assert chosen(structure, Full(), cost([1.0, 0.01], capacity=[0.5, NAN]), [10, 10]) == [1, 1]
