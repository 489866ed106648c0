"""The primitives of algorithms 1.6 and their laws (algorithms 5: P1 to P7 and P19)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update
from edgesim.aggregation.covered import Covered
from edgesim.aggregation.fill import Fill

SIZE = 4
NAMES = ("a", "b")
BOTH = pytest.mark.parametrize("aggregator", [Covered(), Fill()], ids=["covered", "fill"])

values = st.lists(st.floats(-100, 100), min_size=SIZE, max_size=SIZE).map(
    lambda row: torch.tensor(row, dtype=torch.float64)
)
models = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
masks = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(torch.tensor))
)
updates = st.builds(Update, values=models, weight=st.integers(1, 50).map(float), masks=masks)
crowds = st.lists(updates, min_size=1, max_size=5)


def tensor(*row: float) -> Tensor:
    return torch.tensor(row, dtype=torch.float64)


def whole(update: Update) -> Update:
    return Update(update.values, update.weight)


def close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-12) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=tolerance, atol=100 * tolerance) for name in a)


def coverage(crowd: list[Update], name: str) -> Tensor:
    """cov of algorithms 1.6."""
    return sum(u.weight * u.masks[name].double() for u in crowd) / sum(u.weight for u in crowd)


# ------------------------------------------------------------------------------------- by hand


def test_three_weights_and_two_clients_by_hand() -> None:
    before = {"w": tensor(0, 10, 10)}
    crowd = [
        Update({"w": tensor(4, 6, -7)}, 1.0, {"w": torch.tensor([True, True, False])}),
        Update({"w": tensor(8, 99, -7)}, 3.0, {"w": torch.tensor([True, False, False])}),
    ]
    # First: (1*4 + 3*8)/4 = 7. Second: client one alone trained it. Third: nobody did.
    assert Covered().aggregate(before, crowd)["w"].tolist() == [7, 6, 10]
    # Second: client two is filled with the old 10, so (1*6 + 3*10)/4 = 9.
    assert Fill().aggregate(before, crowd)["w"].tolist() == [7, 9, 10]


def test_a_layer_is_averaged_over_those_who_sent_it() -> None:
    before = {"low": tensor(1), "high": tensor(0)}
    crowd = [Update({"low": tensor(5), "high": tensor(2)}, 1.0), Update({"high": tensor(6)}, 3.0)]
    merged = Covered().aggregate(before, crowd)
    assert (merged["low"].item(), merged["high"].item()) == (5, 5)
    merged = Fill().aggregate(before, crowd)
    assert (merged["low"].item(), merged["high"].item()) == (2, 5)


def test_clients_weigh_by_samples_or_equally() -> None:
    assert Covered().client_weight(30) == 30
    assert Covered(weights="equal").client_weight(30) == Fill(weights="equal").client_weight(2) == 1


# ------------------------------------------------------------------------------------- laws


@given(before=models, crowd=crowds)
def test_with_whole_masks_both_are_fedavg_bit_for_bit(before: dict[str, Tensor], crowd: list[Update]) -> None:
    plain = [whole(update) for update in crowd]
    ones = {name: torch.ones(SIZE, dtype=torch.bool) for name in NAMES}
    masked = [Update(update.values, update.weight, ones) for update in crowd]
    results = [rule.aggregate(before, form) for rule in (Covered(), Fill()) for form in (plain, masked)]
    for name in NAMES:
        total = sum(update.weight for update in crowd)
        fedavg = sum(update.weight * update.values[name] for update in crowd) / total
        assert torch.allclose(results[0][name], fedavg, rtol=1e-12, atol=1e-10)
        assert all(torch.equal(results[0][name], other[name]) for other in results[1:])


@BOTH
@given(before=models, crowd=crowds)
def test_what_nobody_trained_keeps_its_bits(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update]
) -> None:
    merged = aggregator.aggregate(before, crowd)
    for name in NAMES:
        untouched = coverage(crowd, name) == 0
        bits = (before[name][untouched].view(torch.int64), merged[name][untouched].view(torch.int64))
        assert torch.equal(*bits)


@BOTH
@given(before=models, crowd=crowds)
def test_the_model_before_and_the_updates_are_left_as_they_were(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update]
) -> None:
    held = [before, *(update.values for update in crowd), *(update.masks for update in crowd)]
    copies = [{name: value.clone() for name, value in tensors.items()} for tensors in held]
    aggregator.aggregate(before, crowd)
    for tensors, copied in zip(held, copies, strict=True):
        assert all(torch.equal(tensors[name], copied[name]) for name in tensors)


@BOTH
@given(before=models, crowd=crowds, seed=st.randoms(use_true_random=False))
def test_the_order_of_updates_matters_to_rounding_alone(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update], seed: object
) -> None:
    shuffled = list(crowd)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert close(aggregator.aggregate(before, crowd), aggregator.aggregate(before, shuffled))


@BOTH
def test_updates_are_folded_in_the_order_in_which_they_come(aggregator: Aggregator) -> None:
    """In float32 1e8 + 1 is 1e8: the ones survive where they come before it or after it is gone."""
    before = {"w": torch.zeros(1)}
    large, small = Update({"w": torch.tensor([1e8])}, 1.0), Update({"w": torch.tensor([1.0])}, 1.0)
    gone = Update({"w": torch.tensor([-1e8])}, 1.0)
    assert aggregator.aggregate(before, [large, small, gone])["w"].item() == 0
    assert aggregator.aggregate(before, [large, gone, small])["w"].item() == pytest.approx(1 / 3)


@BOTH
@given(before=models, crowd=crowds, factor=st.sampled_from([0.5, 2.0, 3.0, 1e-3]))
def test_only_the_ratio_of_weights_matters(
    aggregator: Aggregator, before: dict[str, Tensor], crowd: list[Update], factor: float
) -> None:
    scaled = [Update(update.values, factor * update.weight, update.masks) for update in crowd]
    assert close(aggregator.aggregate(before, crowd), aggregator.aggregate(before, scaled))


@given(before=models, crowd=crowds)
def test_fill_moves_by_the_coverage_of_what_covered_moves(
    before: dict[str, Tensor], crowd: list[Update]
) -> None:
    filled, averaged = Fill().aggregate(before, crowd), Covered().aggregate(before, crowd)
    for name in NAMES:
        expected = coverage(crowd, name) * (averaged[name] - before[name])
        assert torch.allclose(filled[name] - before[name], expected, rtol=1e-9, atol=1e-10)


@given(before=models, crowd=crowds)
def test_covered_lies_between_the_values_of_the_contributors(
    before: dict[str, Tensor], crowd: list[Update]
) -> None:
    merged = Covered().aggregate(before, crowd)
    for name in NAMES:
        for at in range(SIZE):
            given_here = [float(u.values[name][at]) for u in crowd if u.masks[name][at]]
            if given_here:
                assert min(given_here) - 1e-9 <= float(merged[name][at]) <= max(given_here) + 1e-9


@given(before=models, same=models, crowd=crowds)
def test_when_all_return_the_same_that_is_the_result_where_it_was_trained(
    before: dict[str, Tensor], same: dict[str, Tensor], crowd: list[Update]
) -> None:
    merged = Covered().aggregate(before, [Update(same, update.weight, update.masks) for update in crowd])
    for name in NAMES:
        trained = coverage(crowd, name) > 0
        assert torch.allclose(merged[name][trained], same[name][trained], rtol=1e-12, atol=1e-10)


@given(weights=st.lists(st.integers(1, 50).map(float), min_size=1, max_size=5), data=st.data())
def test_the_shares_of_a_covered_layer_sum_to_one(weights: list[float], data: st.DataObject) -> None:
    """Each client returns ones and the model before is zero: the result is the sum of the shares."""
    senders = [data.draw(st.frozensets(st.sampled_from(NAMES), min_size=1)) for _ in weights]
    before = dict.fromkeys(NAMES, tensor(0))
    crowd = [Update({name: tensor(1) for name in sent}, w) for sent, w in zip(senders, weights, strict=True)]
    merged = Covered().aggregate(before, crowd)
    for name in NAMES:
        assert merged[name].item() == pytest.approx(float(any(name in sent for sent in senders)))
