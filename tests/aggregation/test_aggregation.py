"""The averages of algorithms 1.6 by hand, with and without discounts; their laws are in test_laws.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.fill import Fill
from tests.aggregation.merging import merged


def tensor(*row: float) -> Tensor:
    return torch.tensor(row, dtype=torch.float64)


def test_three_weights_and_two_clients_by_hand() -> None:
    before = {"w": tensor(0, 10, 10)}
    crowd = [
        Update({"w": tensor(4, 6, -7)}, 1.0, {"w": torch.tensor([True, True, False])}),
        Update({"w": tensor(8, 99, -7)}, 3.0, {"w": torch.tensor([True, False, False])}),
    ]
    # First: (1*4 + 3*8)/4 = 7. Second: client one alone trained it. Third: nobody did.
    assert merged(Covered(), before, crowd)["w"].tolist() == [7, 6, 10]
    # Second: client two is filled with the old 10, so (1*6 + 3*10)/4 = 9.
    assert merged(Fill(), before, crowd)["w"].tolist() == [7, 9, 10]


def test_a_layer_is_averaged_over_those_who_sent_it() -> None:
    before = {"low": tensor(1), "high": tensor(0)}
    crowd = [Update({"low": tensor(5), "high": tensor(2)}, 1.0), Update({"high": tensor(6)}, 3.0)]
    after = merged(Covered(), before, crowd)
    assert (after["low"].item(), after["high"].item()) == (5, 5)
    after = merged(Fill(), before, crowd)
    assert (after["low"].item(), after["high"].item()) == (2, 5)


def test_clients_weigh_by_samples_or_equally() -> None:
    assert Covered().client_weight(30) == 30
    assert Covered(weights="equal").client_weight(30) == Fill(weights="equal").client_weight(2) == 1


def test_a_discount_moves_shares_from_old_to_fresh_updates() -> None:
    before = {"w": tensor(0, 0)}
    crowd = [
        Update({"w": tensor(8, 8)}, 1.0, {"w": torch.tensor([True, True])}, staleness=3),
        Update({"w": tensor(2, 99)}, 1.0, {"w": torch.tensor([True, False])}),
    ]
    half = Poly(exponent=0.5)  # s(3) = 4^-1/2 = 1/2
    # First: (1/2*8 + 1*2) / (3/2) = 4. Second: the old update alone trained it, so its 8 stands.
    assert merged(Covered(staleness=half), before, crowd)["w"].tolist() == [4, 8]
    # Second: the fresh client is filled with the old 0: (1/2*8 + 0) / (3/2).
    assert merged(Fill(staleness=half), before, crowd)["w"].tolist() == [4, pytest.approx(8 / 3)]
