"""Shuffled rolling masking: one block after the other (algorithms 3.4 B and 7b; P10)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.errors import InputError
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, ScalarStrategy, Submodel
from edgesim.submodels.random_mask import RandomMask
from edgesim.submodels.rolling_mask import RollingMask
from edgesim.training.coverage import Coverage
from tests.training.federations import federation
from tests.training.visits import make

MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4
SQUARE = read_structure(
    nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)), (1, 2, 2)
)
INTERIOR = "2.weight"


def drawn(
    strategy: ScalarStrategy, density: float, visit: int, device: int = 0, structure: ModelStructure = MLP
) -> Submodel:
    return strategy.assign({}, structure, Context(device, visit, 0, density, streams=Streams(5)))


def counts(strategy: ScalarStrategy, density: float, visits: int, device: int = 0) -> np.ndarray:
    """How often each coordinate was held in the first visits of a device."""
    submodels = [drawn(strategy, density, visit, device) for visit in range(visits)]
    return sum(
        np.concatenate([mask.ravel() for mask in submodel.mask.tensors.values()]).astype(int)
        for submodel in submodels
        if submodel.mask is not None
    )


@pytest.mark.parametrize("blocks", [2, 3, 8])
def test_every_epoch_trains_each_coordinate_of_each_device_once(blocks: int) -> None:
    for device in range(3):
        for epochs in (1, 4):
            assert (counts(RollingMask(), 1 / blocks, epochs * blocks, device) == epochs).all()


def test_blocks_are_equally_large_within_one_and_their_sizes_known_beforehand() -> None:
    masks = [drawn(RollingMask(), 1 / 8, visit).mask for visit in range(8)]
    sizes = [sum(mask.kept.values()) for mask in masks if mask is not None]
    assert sum(sizes) == MLP.parameters
    assert max(sizes) - min(sizes) <= 1
    for mask in masks:
        assert mask is not None
        assert mask.kept == {name: int(tensor.sum()) for name, tensor in mask.tensors.items()}


def test_the_partition_of_a_device_stays_and_its_order_changes() -> None:
    epochs = [[drawn(RollingMask(), 1 / 8, 8 * epoch + place).mask for place in range(8)] for epoch in (0, 1)]
    first, second = ([mask.tensors["1.weight"].tobytes() for mask in masks if mask] for masks in epochs)
    assert sorted(first) == sorted(second)
    assert first != second
    other = drawn(RollingMask(), 1 / 8, 0, device=1).mask
    assert other is not None
    assert other.tensors["1.weight"].tobytes() not in first


def test_rolling_varies_by_nothing_and_random_by_r_p_1_minus_p() -> None:
    blocks, epochs = 4, 500
    density = 1 / blocks
    assert (counts(RollingMask(), density, blocks) == 1).all()
    per_epoch = [
        sum(
            drawn(RandomMask(), density, blocks * epoch + place).mask.tensors["3.weight"].astype(int)
            for place in range(blocks)
        )
        for epoch in range(epochs)
    ]
    drawn_counts = np.stack(per_epoch)
    variance = blocks * density * (1 - density)
    fourth = variance * (1 + 3 * (blocks - 2) * density * (1 - density))  # central moment of a binomial
    error = np.sqrt((fourth - variance**2) / drawn_counts.size)
    assert drawn_counts.var() == pytest.approx(variance, abs=3 * error)
    assert drawn_counts.mean() == pytest.approx(1, abs=3 * np.sqrt(variance / drawn_counts.size))


def test_a_density_is_1_over_a_whole_number() -> None:
    for density in (0.3, 0.4, 0.9):
        with pytest.raises(InputError, match=f"whole number of blocks; .*, got {density}"):
            drawn(RollingMask(), density, 0)
    with pytest.raises(InputError, match=r"1/3 is 0\.3333"):
        drawn(RollingMask(), 0.3, 0)
    assert drawn(RollingMask(), 0.333, 0).label == "rolling_mask density 1/3"


def test_the_number_of_the_block_is_sent_along() -> None:
    charged = federation(RollingMask(), [0.25] * 4).ledger.workload_of(drawn(RollingMask(), 0.25, 0), 9)
    assert charged.parts_down[1].bytes == 4
    assert charged.bytes_up in (4 * (MLP.parameters // 4), 4 * (MLP.parameters // 4 + 1))


@pytest.mark.parametrize(("independent", "share"), [(False, 1 / 4), (True, 1.0)])
def test_aligned_blocks_of_units_leave_a_hole_and_orders_of_their_own_fill_it(
    independent: bool, share: float
) -> None:
    coverage = Coverage(SQUARE)
    strategy = RollingMask(unit="unit", layer_independent=independent)
    for visit in range(160):
        coverage.count([drawn(strategy, 1 / 4, visit, structure=SQUARE)], [0])
    table = coverage.table()
    covered = dict(zip(table["tensor"], table["covered_fraction"], strict=True))
    assert covered.pop(INTERIOR) == share
    assert set(covered.values()) == {1.0}


@pytest.mark.parametrize("independent", [False, True])
def test_every_epoch_gives_each_unit_one_visit(independent: bool) -> None:
    strategy = RollingMask(unit="unit", layer_independent=independent)
    for epoch in range(3):
        cuts = [drawn(strategy, 1 / 3, 3 * epoch + place).cut for place in range(3)]
        for group, size in enumerate((7, 6)):
            units = [cut.kept[group] for cut in cuts if cut is not None]
            assert sorted(np.concatenate(units)) == list(range(size))
            assert max(map(len, units)) - min(map(len, units)) <= 1


def test_a_layer_with_fewer_units_than_blocks_has_one_in_each() -> None:
    cuts = [drawn(RollingMask(unit="unit"), 1 / 16, visit).cut for visit in range(16)]
    for group, size in enumerate((7, 6)):
        units = [cut.kept[group] for cut in cuts if cut is not None]
        assert {len(kept) for kept in units} == {1}
        assert set(np.concatenate(units)) == set(range(size))
