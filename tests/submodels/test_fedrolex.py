"""FedRolex: HeteroFL with a window that rolls by one unit per version (algorithms 3.9; P12)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.aggregation.covered import Covered
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.fedrolex import FedRolex
from edgesim.submodels.full import Full
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.coverage import Coverage
from tests.training.federations import federation, same_bits, weights_after
from tests.training.visits import make

MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4


def assigned(
    rate: float,
    version: int,
    device: int = 0,
    *,
    strategy: FedRolex | None = None,
    structure: ModelStructure = MLP,
) -> Submodel:
    context = Context(device, version, version, rate, streams=Streams(5))
    return (strategy or FedRolex()).assign({}, structure, context)


def windows(rate: float, versions: int, group: int) -> list[set[int]]:
    cuts = [assigned(rate, version).cut for version in range(versions)]
    return [set(cut.kept[group].tolist()) for cut in cuts if cut is not None]


@pytest.mark.parametrize("rate", [1 / 16, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("group", "size"), [(0, 7), (1, 6)])
def test_in_any_c_consecutive_versions_each_of_c_units_is_in_the_window_n_times(
    rate: float, group: int, size: int
) -> None:
    width = math.ceil(rate * size)
    seen = windows(rate, 3 * size, group)
    assert {len(window) for window in seen} == {width}
    for start in range(2 * size):
        units = [unit for window in seen[start : start + size] for unit in window]
        assert np.bincount(units, minlength=size).tolist() == [width] * size
    overlaps = {len(one & following) for one, following in pairwise(seen)}
    assert overlaps == {width if width == size else width - 1}


def test_it_begins_where_heterofl_stays() -> None:
    rolled = assigned(0.5, 0)
    prefix = HeteroFL().assign({}, MLP, Context(0, 0, 0, 0.5))
    assert rolled.cut is not None
    assert prefix.cut is not None
    assert all(map(np.array_equal, rolled.cut.kept, prefix.cut.kept))
    assert (rolled.cut.rates, rolled.scaler, rolled.share) == (prefix.cut.rates, prefix.scaler, prefix.share)
    assert FedRolex().rule == HeteroFL().rule
    assert FedRolex.client_weights == "equal"


def test_devices_of_a_rate_share_one_submodel_in_a_version() -> None:
    assert assigned(0.5, 3, device=0) is assigned(0.5, 3, device=1)
    assert assigned(0.5, 3) is not assigned(0.5, 4)


def test_the_windows_of_all_rates_begin_at_the_same_unit() -> None:
    for version in range(7):
        few, many = (assigned(rate, version).cut for rate in (0.25, 0.75))
        assert few is not None
        assert many is not None
        for less, more in zip(few.kept, many.kept, strict=True):
            assert np.isin(less, more).all()


def test_a_quarter_of_512_units_trains_49_8_percent_of_the_weights_between_them() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 512), nn.Linear(512, 512), nn.Linear(512, 2))
    structure = read_structure(network, (1, 2, 2))
    coverage = Coverage(structure)
    for version in range(512):
        coverage.count([assigned(0.25, version, structure=structure)], [0])
    table = coverage.table()
    covered = dict(zip(table["tensor"], table["covered_fraction"], strict=True))
    assert covered.pop("2.weight") == 255 / 512  # units that lie at most 127 apart, around the circle
    assert set(covered.values()) == {1.0}
    assert table["least_times"][0] == table["most_times"][0] == 128


def test_a_random_window_is_drawn_for_each_visit() -> None:
    strategy = FedRolex(window="random")
    made = [assigned(0.5, visit, device, strategy=strategy) for device in (0, 1) for visit in (0, 1)]
    cuts = [submodel.cut for submodel in made]
    assert {cut.widths for cut in cuts if cut is not None} == {(4, 3)}
    assert len({tuple(np.concatenate(cut.kept)) for cut in cuts if cut is not None}) == 4
    assert len({submodel.key for submodel in made}) == 4


def test_at_rate_1_with_its_extras_off_it_is_fedavg_bit_for_bit() -> None:
    bare, equal = FedRolex(masked_classes=False, scaler=False), Covered(weights="equal")
    rolled, fedavg = (federation(s, [1.0] * 4, aggregator=equal) for s in (bare, Full()))
    assert same_bits(weights_after(rolled, 2), weights_after(fedavg, 2))
