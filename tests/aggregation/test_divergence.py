"""How far updates differ: one pass against two, and by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from torch import Tensor

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._divergence import Divergence
from tests.aggregation.crowds import crowds, models, returning, spread, trained

ZERO = {"w": torch.zeros(2)}


def divergence(before: dict[str, Tensor], crowd: list[Update]) -> dict[str, float | None]:
    seen = Divergence()
    for update in crowd:
        seen.add(before, update, update.weight)
    return seen.result(
        {name: [name] for name in dict.fromkeys(name for update in crowd for name in update.values)}
    )


def client(*row: float, weight: float = 1.0) -> Update:
    return Update({"w": torch.tensor(row, dtype=torch.float32)}, weight)


def test_two_updates_by_hand() -> None:
    """Mean (2, 0): each is 1 away from it along one side or the other; weights (3, 1) put it at (2, 0.5)."""
    assert divergence(ZERO, [client(2, 1), client(2, -1)])["w"] == pytest.approx(1 / 2)
    weighted = divergence(ZERO, [client(2, 1, weight=3.0), client(2, -1)])["w"]
    assert weighted == pytest.approx(math.sqrt((3 * 0.25 + 2.25) / (4 * 4.25)))


def test_orthogonal_updates_of_one_length_diverge_by_one() -> None:
    assert divergence(ZERO, [client(3, 0), client(0, 3)])["w"] == pytest.approx(1)


def test_only_those_who_trained_a_coordinate_can_disagree_there() -> None:
    """On the first both say 4; on the second client one alone says 100."""
    one = client(4, 100)
    other = replace(client(4, 7), masks={"w": torch.tensor([True, False])})
    assert divergence(ZERO, [one, other])["w"] == 0


def test_without_a_mean_there_is_no_ratio() -> None:
    assert divergence(ZERO, [client(2, 1), client(-2, -1)]) == {"w": None}
    assert divergence(ZERO, [client(0, 0), client(0, 0)]) == {"w": None}


def test_the_tensors_of_a_layer_count_as_one() -> None:
    """The mean is (2, 0), and each of two updates is 1 away from it; a layer that nobody trained has none."""
    seen = Divergence()
    before = {"w": torch.zeros(1), "b": torch.zeros(1), "deep": torch.zeros(1)}
    for side in (1.0, -1.0):
        seen.add(before, Update({"w": torch.tensor([2.0]), "b": torch.tensor([side])}, 1.0), 1.0)
    assert seen.result({"top": ["w", "b"], "bottom": ["deep"]}) == {"top": pytest.approx(0.5), "bottom": None}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_updates_that_are_all_the_same_do_not_diverge(dtype: torch.dtype) -> None:
    values = torch.randn(1000, dtype=dtype, generator=torch.Generator().manual_seed(0))
    crowd = [Update({"w": values}, weight / 7) for weight in range(1, 40)]
    assert divergence({"w": torch.ones(1000, dtype=dtype)}, crowd) == {"w": 0.0}


@given(before=models, model=models, crowd=crowds)
def test_neither_do_those_that_train_different_parts_to_the_same_values(
    before: dict[str, Tensor], model: dict[str, Tensor], crowd: list[Update]
) -> None:
    found = divergence(before, [returning(update, model) for update in crowd])
    assert set(found.values()) <= {0.0, None}


@given(before=models, crowd=crowds)
def test_one_pass_gives_what_two_give(before: dict[str, Tensor], crowd: list[Update]) -> None:
    found = divergence(before, crowd)
    assert set(found) == {name for update in crowd for name in update.values}
    for name, value in found.items():
        apart, shared = two_passes(before, crowd, name)
        if value is None:
            assert shared <= 1e-20 * (apart + shared)
        else:
            assert value**2 * shared == pytest.approx(apart, rel=1e-9, abs=1e-12 * (apart + shared))


def two_passes(before: dict[str, Tensor], crowd: list[Update], name: str) -> tuple[float, float]:
    """sum_i a_i |m_i (d_i - D)|^2 and sum_i a_i |m_i D|^2."""
    senders = [
        (update.weight, trained(update, name).double(), spread(update).values[name] - before[name])
        for update in crowd
        if name in update.values
    ]
    covered = sum(weight * mask for weight, mask, _ in senders)
    mean = sum(weight * mask * delta for weight, mask, delta in senders) / covered.clamp(min=1e-300)
    apart = sum(weight * (mask * (delta - mean)).square().sum() for weight, mask, delta in senders)
    return float(apart), float((covered * mean.square()).sum())
