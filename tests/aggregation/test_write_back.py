"""Disjoint write-back (DW of algorithms 1.6) by hand; that covered does the same (P8) is in test_laws.py."""

from __future__ import annotations

import pytest
import torch

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.write_back import WriteBack
from edgesim.errors import RunFailed
from tests.aggregation.merging import merged
from tests.scenarios import BASE, refusal

BEFORE = {"w": torch.arange(6.0).reshape(2, 3)}


def part(value: float, rows: list[int], columns: list[int], weight: float = 1.0, **more: object) -> Update:
    block = torch.full((len(rows), len(columns)), float(value))
    return Update({"w": block}, weight, places={"w": (torch.tensor(rows), torch.tensor(columns))}, **more)


def test_each_block_goes_back_to_its_place_whatever_it_weighs() -> None:
    """The interior matrix of IST: blocks of own units; the rest is trained by nobody."""
    crowd = [part(7, [0], [1, 2], weight=1.0), part(9, [1], [0], weight=50.0, staleness=3)]
    assert merged(WriteBack(), BEFORE, crowd)["w"].tolist() == [[0, 7, 7], [9, 4, 5]]


@pytest.mark.parametrize(
    "crowd",
    [
        [part(7, [0], [1, 2]), part(9, [0, 1], [2])],
        [Update({"w": BEFORE["w"] + 1}, 1.0)] * 2,
        [Update({"w": BEFORE["w"] + 1}, 1.0, {"w": BEFORE["w"] > 4}), part(9, [1], [2])],
    ],
    ids=["cuts", "whole", "mask and cut"],
)
def test_parts_that_overlap_end_the_run(crowd: list[Update]) -> None:
    with pytest.raises(RunFailed) as failure:
        merged(WriteBack(), BEFORE, crowd)
    assert str(failure.value) == (
        'aggregation: several updates trained the same coordinate of "w", and write_back takes it from one; '
        "use covered, or a submodel whose parts are disjoint"
    )


def test_masks_decide_whether_parts_overlap_and_not_the_places() -> None:
    first, second = torch.tensor([[True, False]]), torch.tensor([[False, True]])
    crowd = [part(7, [0], [0, 1], masks={"w": first}), part(9, [0], [0, 1], masks={"w": second})]
    assert merged(WriteBack(), BEFORE, crowd)["w"].tolist() == [[7, 9, 2], [3, 4, 5]]


def test_it_says_that_parts_must_be_disjoint() -> None:
    assert WriteBack.disjoint
    assert not Covered.disjoint


@pytest.mark.parametrize("key", ["weights: equal", "staleness: poly"])
def test_weights_and_staleness_are_refused(key: str) -> None:
    (line,) = refusal(f"{BASE}aggregation: {{name: write_back, {key}}}\n")
    assert line.startswith("x.yaml:10: aggregation: ")
    assert line.endswith("each value comes from one device, whole; leave out weights and staleness")
