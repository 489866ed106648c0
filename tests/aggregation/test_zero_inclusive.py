"""The zero-inclusive average (FA of algorithms 1.6) by hand; its laws are in test_laws.py."""

from __future__ import annotations

import pytest
import torch

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.zero_inclusive import ZeroInclusive
from tests.aggregation.merging import merged

BEFORE = {"w": torch.tensor([0.0, 10.0, 10.0]), "b": torch.tensor([3.0])}


def client(row: list[float], weight: float, *held: bool, **more: object) -> Update:
    return Update({"w": torch.tensor(row, dtype=torch.float32)}, weight, {"w": torch.tensor(held)}, **more)


def after(rule: ZeroInclusive, *updates: Update) -> list[float]:
    return merged(rule, BEFORE, updates)["w"].tolist()


def test_three_weights_and_two_clients_by_hand() -> None:
    one, other = client([4, 6, 7], 1.0, True, True, False), client([8, 7, 7], 3.0, True, False, False)
    # First: (1*4 + 3*8)/4 = 7. Second: client two counts as zero, so (1*6 + 3*0)/4. Third: nobody holds it.
    assert after(ZeroInclusive(), one, other) == [7, 1.5, 0]


def test_a_discount_shrinks_what_old_updates_alone_hold() -> None:
    old, fresh = (
        client([8, 8, 7], 1.0, True, True, False, staleness=3),
        client([2, 7, 7], 1.0, True, False, False),
    )
    half = ZeroInclusive(staleness=Poly(exponent=0.5))  # s(3) = 1/2
    assert after(half, old, fresh) == pytest.approx([4, 8 / 3, 0])


def test_what_lies_outside_a_cut_counts_as_zero() -> None:
    cut = Update({"w": torch.tensor([4.0, 6.0])}, 2.0, places={"w": (torch.tensor([0, 2]),)})
    assert after(ZeroInclusive(), cut) == [4, 0, 6]


def test_a_tensor_that_an_update_lacks_was_held_as_it_is() -> None:
    """Clients of FedPMT run the layers that they do not train with their old values."""
    updates = [Update({"w": torch.tensor([4.0, 6.0, 2.0])}, 1.0), Update({"b": torch.tensor([7.0])}, 3.0)]
    merged_both = merged(ZeroInclusive(), BEFORE, updates)
    assert merged_both["w"].tolist() == [1, 9, 8]
    assert merged_both["b"].tolist() == [6]
    assert merged(ZeroInclusive(), BEFORE, updates[:1])["b"] is BEFORE["b"]


def test_statistics_of_norms_are_averaged_by_those_who_have_them() -> None:
    before = {"running_var": torch.tensor([1.0, 4.0, 9.0])}
    crowd = [
        Update(
            {"running_var": torch.tensor([value])},
            weight,
            places={"running_var": (slice(0, 1),)},
            statistics=frozenset(before),
        )
        for value, weight in ((2.0, 1.0), (4.0, 3.0))
    ]
    assert merged(ZeroInclusive(), before, crowd)["running_var"].tolist() == [3.5, 4, 9]
