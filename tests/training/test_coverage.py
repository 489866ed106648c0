"""Coverage counts coordinates: of whole layers, of cuts and of masks alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgesim.models._structure import ModelStructure, read_structure
from edgesim.submodels._submodel import Cut, Mask, Submodel
from edgesim.training.coverage import Coverage
from tests.training.visits import make


@pytest.fixture(scope="module")
def structure() -> ModelStructure:
    """36 - 7 - 6 - 4: two groups of units, of 7 and of 6."""
    return read_structure(make("mlp", torch.float32), (1, 6, 6))


def row(coverage: Coverage, tensor: str) -> dict[str, object]:
    table = coverage.table()
    place = list(table["tensor"]).index(tensor)
    return {name: column[place] for name, column in table.items()}


def names(structure: ModelStructure) -> list[str]:
    return [layer.tensors[0] for layer in structure.layers]


def submodel(structure: ModelStructure, cut: Cut | None = None, mask: Mask | None = None) -> Submodel:
    return Submodel("some", 0.5, structure.all_layers, cut=cut, mask=mask)


def test_a_layer_counts_for_each_update_that_trained_it(structure: ModelStructure) -> None:
    coverage = Coverage(structure)
    last = Submodel("last", 1.0, frozenset({2}))
    for device, part in ((0, last), (1, last), (1, submodel(structure))):
        coverage.count([part], [device])
    first, _, output = names(structure)
    found = row(coverage, first)
    assert [found[name] for name in ("times_trained", "devices", "elements")] == [1, 1, 252]
    assert [found[name] for name in ("covered_fraction", "mean_times", "most_times")] == [1, 1, 1]
    assert (row(coverage, output)["times_trained"], row(coverage, output)["devices"]) == (3, 2)


def test_a_cut_counts_for_the_coordinates_of_its_units(structure: ModelStructure) -> None:
    coverage = Coverage(structure)
    for device in range(3):
        coverage.count([submodel(structure, Cut((np.arange(2), np.array([0, 5])), (0.3, 0.3)))], [device])
    coverage.count([submodel(structure)], [0])
    middle = row(coverage, names(structure)[1])  # [6, 7], of which 2 x 2 are in the cut
    assert (middle["covered_fraction"], middle["least_times"], middle["most_times"]) == (1.0, 1, 4)
    assert middle["mean_times"] == pytest.approx((42 + 3 * 4) / 42)


def test_a_mask_counts_for_its_own_coordinates(structure: ModelStructure) -> None:
    first = names(structure)[0]
    held = np.zeros((7, 36), dtype=bool)
    held[3] = True
    coverage = Coverage(structure)
    coverage.count([submodel(structure, mask=Mask(0.1, {first: 36}, lambda: {first: held}))], [0])
    assert row(coverage, first)["covered_fraction"] == pytest.approx(1 / 7)
    assert row(coverage, first)["mean_times"] == pytest.approx(1 / 7)


def test_the_covered_fraction_is_that_of_the_union(structure: ModelStructure) -> None:
    coverage = Coverage(structure)
    low, high = (
        submodel(structure, Cut((np.arange(*units), np.arange(6)), (0.5, 1.0))) for units in ((0, 4), (3, 7))
    )
    one = coverage.fraction([low])
    assert one == pytest.approx((4 * 36 + 4 + 6 * 4 + 6 + 28) / structure.parameters)
    assert coverage.fraction([low, high, low]) == 1.0


def test_many_different_masks_are_counted_without_being_kept(structure: ModelStructure) -> None:
    coverage = Coverage(structure)
    first = names(structure)[0]
    for number in range(100):
        held = np.zeros(252, dtype=bool)
        held[number] = True
        mask = Mask(0.1, {first: 1}, lambda held=held: {first: held.reshape(7, 36)})
        coverage.count([submodel(structure, mask=mask)], [number])
    assert len(coverage._pending) < 40
    assert row(coverage, first)["covered_fraction"] == pytest.approx(100 / 252)
