"""The averages of algorithms 1.6, with and without discounts, and their laws (P1 to P7, P19, P24)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation._staleness import Constant, Hinge, Poly
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.delta import Delta
from edgesim.aggregation.fill import Fill
from tests.aggregation.merging import merged, sent

SIZE = 4
NAMES = ("a", "b")
AVERAGES = {
    "covered": Covered(),
    "covered_poly": Covered(staleness=Poly()),
    "fill": Fill(),
    "fill_hinge": Fill(staleness=Hinge()),
    "delta": Delta(staleness=Poly()),
}
EVERY_AVERAGE = pytest.mark.parametrize("aggregator", AVERAGES.values(), ids=AVERAGES)
DISCOUNTS = st.sampled_from([Constant(), Poly(), Poly(exponent=2.0), Hinge(), Hinge(delay=0, slope=3.0)])

values = st.lists(st.floats(-100, 100), min_size=SIZE, max_size=SIZE).map(
    lambda row: torch.tensor(row, dtype=torch.float64)
)
models = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
masks = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(torch.tensor))
)
updates = st.builds(
    Update,
    values=models,
    weight=st.integers(1, 50).map(float),
    masks=masks,
    staleness=st.integers(0, 20),
    base=models,
)
crowds = st.lists(updates, min_size=1, max_size=5)


def tensor(*row: float) -> Tensor:
    return torch.tensor(row, dtype=torch.float64)


def whole(update: Update) -> Update:
    return replace(update, masks={})


def close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-12) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=tolerance, atol=100 * tolerance) for name in a)


def coverage(aggregator: Aggregator, crowd: list[Update], name: str) -> Tensor:
    """cov of algorithms 1.6, with discounted weights."""
    weights = [aggregator.discounted(update) for update in crowd]
    return sum(w * u.masks[name].double() for w, u in zip(weights, crowd, strict=True)) / sum(weights)


# ------------------------------------------------------------------------------------- by hand


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


# ------------------------------------------------------------------------------------- laws


@EVERY_AVERAGE
@given(before=models, crowd=crowds)
def test_when_all_are_fresh_there_is_no_discount(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update]
) -> None:
    fresh = [replace(update, staleness=0) for update in crowd]
    undiscounted = merged(replace(aggregator, staleness=Constant()), before, fresh)
    assert all(torch.equal(merged(aggregator, before, fresh)[name], undiscounted[name]) for name in NAMES)


@given(before=models, crowd=crowds)
def test_with_whole_masks_both_are_fedavg_bit_for_bit(before: dict[str, Tensor], crowd: list[Update]) -> None:
    plain = [whole(update) for update in crowd]
    ones = {name: torch.ones(SIZE, dtype=torch.bool) for name in NAMES}
    masked = [replace(update, masks=ones) for update in crowd]
    results = [merged(rule, before, form) for rule in (Covered(), Fill()) for form in (plain, masked)]
    for name in NAMES:
        total = sum(update.weight for update in crowd)
        fedavg = sum(update.weight * update.values[name] for update in crowd) / total
        assert torch.allclose(results[0][name], fedavg, rtol=1e-12, atol=1e-10)
        assert all(torch.equal(results[0][name], other[name]) for other in results[1:])


@EVERY_AVERAGE
@given(before=models, crowd=crowds)
def test_what_nobody_trained_keeps_its_bits(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update]
) -> None:
    after = merged(aggregator, before, crowd)
    for name in NAMES:
        untouched = coverage(aggregator, crowd, name) == 0
        bits = (before[name][untouched].view(torch.int64), after[name][untouched].view(torch.int64))
        assert torch.equal(*bits)


@EVERY_AVERAGE
@given(before=models, crowd=crowds)
def test_the_model_before_and_the_updates_are_left_as_they_were(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update]
) -> None:
    held = [before, *(update.values for update in crowd), *(update.masks for update in crowd)]
    copies = [{name: value.clone() for name, value in tensors.items()} for tensors in held]
    merged(aggregator, before, crowd)
    for tensors, copied in zip(held, copies, strict=True):
        assert all(torch.equal(tensors[name], copied[name]) for name in tensors)


@EVERY_AVERAGE
@given(before=models, crowd=crowds, seed=st.randoms(use_true_random=False))
def test_the_order_of_updates_matters_to_rounding_alone(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update], seed: object
) -> None:
    shuffled = list(crowd)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert close(merged(aggregator, before, crowd), merged(aggregator, before, shuffled))


@EVERY_AVERAGE
def test_updates_are_folded_in_the_order_in_which_they_come(aggregator: Aggregator) -> None:
    """In float32 1e8 + 1 is 1e8: the ones survive where they come before it or after it is gone."""
    before = {"w": torch.zeros(1)}
    large, small, gone = (sent(before, {"w": torch.tensor([to])}, 1.0) for to in (1e8, 1.0, -1e8))
    assert merged(aggregator, before, [large, small, gone])["w"].item() == 0
    assert merged(aggregator, before, [large, gone, small])["w"].item() == pytest.approx(1 / 3)


@EVERY_AVERAGE
@given(before=models, crowd=crowds, factor=st.sampled_from([0.5, 2.0, 3.0, 1e-3]))
def test_only_the_ratio_of_weights_matters(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update], factor: float
) -> None:
    scaled = [replace(update, weight=factor * update.weight) for update in crowd]
    assert close(merged(aggregator, before, crowd), merged(aggregator, before, scaled))


@given(before=models, crowd=crowds, staleness=DISCOUNTS)
def test_fill_moves_by_the_coverage_of_what_covered_moves(
    before: dict[str, Tensor], crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    fill, covered = Fill(staleness=staleness), Covered(staleness=staleness)
    filled, averaged = merged(fill, before, crowd), merged(covered, before, crowd)
    for name in NAMES:
        expected = coverage(fill, crowd, name) * (averaged[name] - before[name])
        assert torch.allclose(filled[name] - before[name], expected, rtol=1e-9, atol=1e-10)


@given(before=models, crowd=crowds, staleness=DISCOUNTS)
def test_covered_lies_between_the_values_of_the_contributors(
    before: dict[str, Tensor], crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    after = merged(Covered(staleness=staleness), before, crowd)
    for name in NAMES:
        for at in range(SIZE):
            given_here = [float(u.values[name][at]) for u in crowd if u.masks[name][at]]
            if given_here:
                assert min(given_here) - 1e-9 <= float(after[name][at]) <= max(given_here) + 1e-9


@given(before=models, same=models, crowd=crowds, staleness=DISCOUNTS)
def test_when_all_return_the_same_that_is_the_result_where_it_was_trained(
    before: dict[str, Tensor],
    same: dict[str, Tensor],
    crowd: list[Update],
    staleness: Constant | Poly | Hinge,
) -> None:
    rule = Covered(staleness=staleness)
    after = merged(rule, before, [replace(update, values=same) for update in crowd])
    for name in NAMES:
        trained = coverage(rule, crowd, name) > 0
        assert torch.allclose(after[name][trained], same[name][trained], rtol=1e-12, atol=1e-10)


@given(weights=st.lists(st.integers(1, 50).map(float), min_size=1, max_size=5), data=st.data())
def test_the_shares_of_a_covered_layer_sum_to_one(weights: list[float], data: st.DataObject) -> None:
    """Each client returns ones and the model before is zero: the result is the sum of the shares."""
    senders = [data.draw(st.frozensets(st.sampled_from(NAMES), min_size=1)) for _ in weights]
    before = dict.fromkeys(NAMES, tensor(0))
    crowd = [Update({name: tensor(1) for name in sent}, w) for sent, w in zip(senders, weights, strict=True)]
    after = merged(Covered(), before, crowd)
    for name in NAMES:
        assert after[name].item() == pytest.approx(float(any(name in sent for sent in senders)))
