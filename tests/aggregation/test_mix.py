"""FedAsync's mixing (algorithms 3.12; P26)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._staleness import Hinge, Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.mix import Mix
from tests.aggregation.merging import merged

BEFORE = {"w": torch.tensor([0.0, 8.0, 8.0], dtype=torch.float64)}


def client(*row: float, **more: object) -> Update:
    return Update({"w": torch.tensor(row, dtype=torch.float64)}, 5.0, **more)


def after(rule: Mix, *updates: Update) -> list[float]:
    return merged(rule, BEFORE, updates)["w"].tolist()


def test_a_fresh_update_mixed_in_entirely_is_the_model() -> None:
    assert after(Mix(mixing=1.0), client(1, 2, 3)) == [1, 2, 3]


def test_without_mixing_nothing_changes() -> None:
    assert after(Mix(mixing=0.0), client(1, 2, 3)) == [0, 8, 8]


def test_a_quarter_of_the_way_by_hand() -> None:
    assert after(Mix(mixing=0.25), client(4, 4, 0)) == [1, 7, 6]


@pytest.mark.parametrize("discount", [Poly(exponent=1.0), Hinge(delay=0, slope=1.0)])
def test_the_share_of_an_old_update_is_discounted(discount: Poly | Hinge) -> None:
    """s(1) = 1/2 in both."""
    assert after(Mix(mixing=0.5, staleness=discount), client(4, 4, 0, staleness=1)) == [1, 7, 6]


def test_only_what_was_trained_is_mixed() -> None:
    masked = client(4, 4, 0, masks={"w": torch.tensor([True, False, True])})
    assert after(Mix(mixing=0.25), masked) == [1, 8, 6]
    cut = Update(
        {"w": torch.tensor([4.0, 0.0], dtype=torch.float64)}, 1.0, places={"w": (torch.tensor([0, 2]),)}
    )
    assert after(Mix(mixing=0.25), cut) == [1, 8, 6]
    assert after(Mix(mixing=0.25), replace(cut, masks={"w": torch.tensor([False, True])})) == [0, 8, 6]


def test_how_much_a_client_weighs_has_no_say() -> None:
    assert after(Mix(), client(1, 2, 3)) == after(Mix(), Update(client(1, 2, 3).values, 700.0))


@pytest.mark.parametrize("places", [{}, {"w": (slice(0, 3),)}], ids=["whole", "cut"])
def test_several_updates_are_mixed_in_one_after_the_other(places: dict[str, tuple[slice, ...]]) -> None:
    rule = Mix(mixing=0.5, staleness=Poly(exponent=1.0))
    crowd = [client(4, 4, 0, places=places), client(2, 0, 1, places=places, staleness=1), client(1, 1, 1)]
    one_by_one: dict[str, Tensor] = BEFORE
    for update in crowd:
        one_by_one = merged(rule, one_by_one, [update])
    assert after(rule, *crowd) == pytest.approx(one_by_one["w"].tolist())


def test_it_says_that_it_is_meant_for_one_update_at_a_time() -> None:
    assert Mix.one_at_a_time
    assert not Covered.one_at_a_time
