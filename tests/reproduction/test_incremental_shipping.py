"""Incremental model shipping (algorithms 3.7 (2); P22): a multicast sends nested sub-models in increments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgesim.experiment import Outcome
from edgesim.submodels._submodel import SubmodelStrategy
from edgesim.submodels.fedgmr import FedGMR
from edgesim.submodels.fedpmt import FedPMT
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.federation import Federation
from tests.test_experiment import ran
from tests.training.federations import federation, order

NESTED = pytest.mark.parametrize(
    ("strategy", "capacity"),
    [(FedGMR(), (0.5, 0.1, 1.0, 0.2)), (HeteroFL(), (0.5, 0.25, 1.0, 0.5)), (FedGMR(), (0.5, 0.1, 0.2, 0.2))],
    ids=["fedgmr", "heterofl", "fedgmr without the whole"],
)


def sent(strategy: SubmodelStrategy, capacity: Sequence[float], *, incremental: bool) -> Federation:
    learner = federation(strategy, capacity)
    learner.ledger = replace(learner.ledger, incremental=incremental)
    learner.assign([order(device, device) for device in range(4)])
    return learner


@NESTED
def test_the_increments_of_a_download_add_up_to_its_submodel_and_all_to_the_largest(
    strategy: SubmodelStrategy, capacity: Sequence[float]
) -> None:
    books, at_once = (sent(strategy, capacity, incremental=flag).ledger.open for flag in (True, False))
    distinct: dict[str, int] = {}
    for dispatch, (_, submodel, charged) in books.items():
        increments = [part for part in charged.parts_down if part.key.startswith("increment")]
        held, *description = at_once[dispatch].workload.parts_down
        assert sum(part.bytes for part in increments) == held.bytes
        assert list(charged.parts_down[len(increments) :]) == description
        assert len(increments) == sum(rung <= submodel.capacity for rung in set(capacity))
        for part in increments:
            assert distinct.setdefault(part.key, part.bytes) == part.bytes
    assert len(distinct) == len(set(capacity))
    assert sum(distinct.values()) == max(each.workload.parts_down[0].bytes for each in at_once.values())


def test_increments_between_masks_are_disjoint_and_each_adds_the_weights_of_its_bytes() -> None:
    capacity = (0.1, 0.2, 0.5, 0.7)
    books = sent(FedGMR(), capacity, incremental=True).ledger.open
    masks = [books[dispatch].submodel.mask for dispatch in range(4)]
    weights = [name for name in masks[0].tensors if name.endswith("weight")]
    steps = [{name: masks[0].tensors[name] for name in weights}] + [
        {name: larger.tensors[name] & ~smaller.tensors[name] for name in weights}
        for smaller, larger in pairwise(masks)
    ]
    for name in weights:
        assert max(sum(step[name].astype(int) for step in steps).flat) == 1
        assert np.array_equal(sum(step[name] for step in steps), masks[-1].tensors[name])
    for dispatch in (1, 2, 3):
        added = books[dispatch].workload.parts_down[dispatch].bytes
        assert added == 4 * sum(int(step.sum()) for step in steps[dispatch].values())


def test_submodels_that_are_not_nested_are_sent_whole() -> None:
    books = sent(FedPMT(layers="random"), (1.0, 2.0, 3.0, 3.0), incremental=True).ledger.open
    assert [len(each.workload.parts_down) for each in books.values()] == [2, 2, 2, 2]


# --------------------------------------------------------------------------------- a run that trains

SERVER_BPS, ROUNDS = 80_000.0, 3
DOWN_BPS = {0.1: 8_000.0, 0.2: 1_000_000.0, 0.5: 40_000.0, 1.0: 400_000.0}  # slower and faster than it
FLEET = "".join(
    f"  - {{profile: pixel-6, count: 2, capacity: {capacity:g}, "
    f"network: {{downlink: {bps:g} bit/s, uplink: 1 Mbit/s}}}}\n"
    for capacity, bps in DOWN_BPS.items()
)
SCENARIO = f"""\
name: shipped
model: {{name: mlp, hidden: [20]}}
dataset: digits
fleet:
{FLEET}server: {{uplink: {SERVER_BPS:g} bit/s, multicast: true}}
coordination: {{name: synchronous, clients_per_round: 8}}
training: {{steps: 1, batch_size: 8}}
stop: {{rounds: {ROUNDS}}}
"""


def shipped(folder: Path, *overrides: str) -> Outcome:
    return ran(folder, SCENARIO, "growth=none", *overrides)


@pytest.mark.parametrize("submodel", ["fedgmr", "heterofl"])
@pytest.mark.parametrize("largest", [1.0, 0.5])
def test_the_servers_uplink_carries_the_largest_submodel_once_and_downloads_end_with_its_share(
    tmp_path: Path, submodel: str, largest: float
) -> None:
    found = shipped(
        tmp_path, f"submodel={submodel}", f"fleet.3.capacity={largest}", "cost.charge_mask_bytes=false"
    )
    rows = found.tables["dispatches"]
    assert rows["outcome"] == ["aggregated"] * 8 * ROUNDS
    (carried,) = found.tables["links"]["bits"]
    assert carried == pytest.approx(8 * max(rows["bytes_down"]) * ROUNDS, rel=1e-9)
    down_bps = list(DOWN_BPS.values())
    columns = (rows[key] for key in ("device", "bytes_down", "download_s"))
    for device, held_bytes, seconds in zip(*columns, strict=True):
        assert seconds == pytest.approx(8 * held_bytes / min(SERVER_BPS, down_bps[device // 2]), rel=1e-9)


def test_masks_are_all_that_increments_add(tmp_path: Path) -> None:
    """1280 prunable weights of 1510 values: a refresh sends each of three masks once."""
    plain, charged = (
        shipped(tmp_path, "submodel={name: fedgmr, refresh: 2}", f"cost.charge_mask_bytes={flag}")
        for flag in ("false", "true")
    )
    (values,), (with_masks,) = (run.tables["links"]["bits"] for run in (plain, charged))
    assert values == pytest.approx(8 * 4 * 1510 * ROUNDS, rel=1e-9)
    assert with_masks - values == pytest.approx(2 * 3 * 1280, rel=1e-6)  # versions 0 and 2, a bit per weight
