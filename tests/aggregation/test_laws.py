"""Laws of the rules for masks, cuts and parts (algorithms section 5: P1 to P8, P15, P19, P24 to P26)."""

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
from edgesim.aggregation.mix import Mix
from edgesim.aggregation.write_back import WriteBack
from edgesim.aggregation.zero_inclusive import ZeroInclusive
from tests.aggregation.crowds import (
    NAMES,
    SHAPE,
    coverage,
    crowds,
    disjoint_crowds,
    models,
    returning,
    spread,
    trained,
    whole_crowds,
)
from tests.aggregation.merging import merged, sent

Model = dict[str, Tensor]

AVERAGES = {
    "covered": Covered(staleness=Poly()),
    "fill": Fill(staleness=Hinge()),
    "zero_inclusive": ZeroInclusive(staleness=Poly()),
    "delta": Delta(staleness=Poly()),
}
RULES = AVERAGES | {"mix": Mix(staleness=Poly())}
EVERY_AVERAGE = pytest.mark.parametrize("aggregator", AVERAGES.values(), ids=AVERAGES)
EVERY_RULE = pytest.mark.parametrize("aggregator", RULES.values(), ids=RULES)
KEEPING = {name: rule for name, rule in RULES.items() if rule.keeps_untrained}
EVERY_KEEPING_RULE = pytest.mark.parametrize("aggregator", KEEPING.values(), ids=KEEPING)
DISCOUNTS = st.sampled_from([Constant(), Poly(), Poly(exponent=2.0), Hinge(), Hinge(delay=0, slope=3.0)])


def same(one: Model, other: Model) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def close(one: Model, other: Model) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=1e-12, atol=1e-10) for name in one)


# ------------------------------------------------------------------------------- every form of an update


@EVERY_RULE
@given(before=models, crowd=crowds)
def test_a_cut_counts_as_the_whole_tensor_masked_where_it_lies_bit_for_bit(
    aggregator: Aggregator, before: Model, crowd: list[Update]
) -> None:
    masked = [spread(update) for update in crowd]
    assert same(merged(aggregator, before, crowd), merged(aggregator, before, masked))


@EVERY_KEEPING_RULE
@given(before=models, crowd=crowds)
def test_what_nobody_trained_keeps_its_bits(
    aggregator: Aggregator, before: Model, crowd: list[Update]
) -> None:
    after = merged(aggregator, before, crowd)
    for name in NAMES:
        untouched = coverage(aggregator, crowd, name) == 0
        bits = (before[name][untouched].view(torch.int64), after[name][untouched].view(torch.int64))
        assert torch.equal(*bits)


@EVERY_KEEPING_RULE
@given(before=models, crowd=crowds)
def test_what_is_taken_out_and_written_back_unchanged_changes_nothing(
    aggregator: Aggregator, before: Model, crowd: list[Update]
) -> None:
    assert same(merged(aggregator, before, [returning(update, before) for update in crowd]), before)


@EVERY_RULE
@given(before=models, crowd=crowds)
def test_the_model_before_and_the_updates_are_left_as_they_were(
    aggregator: Aggregator, before: Model, crowd: list[Update]
) -> None:
    held = [before, *(kept for update in crowd for kept in (update.values, update.masks, update.base))]
    copies = [{name: value.clone() for name, value in tensors.items()} for tensors in held]
    merged(aggregator, before, crowd)
    assert all(same(tensors, copied) for tensors, copied in zip(held, copies, strict=True))


@EVERY_RULE
@given(before=models, crowd=crowds)
def test_when_all_are_fresh_there_is_no_discount(
    aggregator: Aggregator, before: Model, crowd: list[Update]
) -> None:
    fresh = [replace(update, staleness=0) for update in crowd]
    undiscounted = merged(replace(aggregator, staleness=Constant()), before, fresh)
    assert same(merged(aggregator, before, fresh), undiscounted)


# ------------------------------------------------------------------------------------------- all averages


@EVERY_AVERAGE
@given(before=models, crowd=crowds, seed=st.randoms(use_true_random=False))
def test_the_order_of_updates_matters_to_rounding_alone(
    aggregator: Aggregator, before: Model, crowd: list[Update], seed: object
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
    aggregator: Aggregator, before: Model, crowd: list[Update], factor: float
) -> None:
    scaled = [replace(update, weight=factor * update.weight) for update in crowd]
    assert close(merged(aggregator, before, crowd), merged(aggregator, before, scaled))


@given(before=models, crowd=whole_crowds)
def test_with_whole_masks_all_are_fedavg_bit_for_bit(before: Model, crowd: list[Update]) -> None:
    started = [replace(update, base=before) for update in crowd]
    ones = {name: torch.ones(SHAPE, dtype=torch.bool) for name in NAMES}
    masked = [replace(update, masks=ones) for update in started]
    rules = (Covered(), Fill(), ZeroInclusive(), Delta())
    results = [merged(rule, before, form) for rule in rules for form in (started, masked)]
    total = sum(update.weight for update in crowd)
    fedavg = {name: sum(u.weight * u.values[name] for u in crowd) / total for name in NAMES}
    assert close(results[0], fedavg)
    assert all(same(results[0], other) for other in results[1:])


# ---------------------------------------------------------------------------------------------- one by one


@given(before=models, crowd=crowds, staleness=DISCOUNTS)
def test_fill_moves_by_the_coverage_of_what_covered_moves(
    before: Model, crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    fill, covered = Fill(staleness=staleness), Covered(staleness=staleness)
    filled, averaged = merged(fill, before, crowd), merged(covered, before, crowd)
    for name in NAMES:
        expected = coverage(fill, crowd, name) * (averaged[name] - before[name])
        assert torch.allclose(filled[name] - before[name], expected, rtol=1e-9, atol=1e-10)


@given(before=models, crowd=crowds, staleness=DISCOUNTS)
def test_fill_averages_models_whose_gaps_hold_the_old_value_and_zero_inclusive_those_that_hold_zero(
    before: Model, crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    for rule, gaps in ((Fill(staleness=staleness), 1.0), (ZeroInclusive(staleness=staleness), 0.0)):
        after, total = merged(rule, before, crowd), sum(map(rule.discounted, crowd))
        for name in NAMES:
            average = torch.zeros(SHAPE, dtype=torch.float64)
            for update in crowd:
                held = before[name]
                if name in update.values:
                    value = spread(update).values[name]
                    held = torch.where(trained(update, name), value, gaps * before[name])
                average += rule.discounted(update) / total * held
            assert torch.allclose(after[name], average, rtol=1e-12, atol=1e-10)


@given(before=models, crowd=crowds, staleness=DISCOUNTS)
def test_covered_lies_between_the_values_of_the_contributors(
    before: Model, crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    after = merged(Covered(staleness=staleness), before, crowd)
    for name in NAMES:
        given_here = [(spread(u).values[name], trained(u, name)) for u in crowd if name in u.values]
        if given_here:
            lowest = torch.stack([v.where(m, torch.inf) for v, m in given_here]).amin(0)
            highest = torch.stack([v.where(m, -torch.inf) for v, m in given_here]).amax(0)
            covered = lowest <= highest
            assert ((lowest - 1e-9 <= after[name]) & (after[name] <= highest + 1e-9))[covered].all()


@given(before=models, model=models, crowd=crowds, staleness=DISCOUNTS)
def test_when_all_return_the_same_that_is_the_result_where_it_was_trained(
    before: Model, model: Model, crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    rule = Covered(staleness=staleness)
    after = merged(rule, before, [returning(update, model) for update in crowd])
    for name in NAMES:
        covered = coverage(rule, crowd, name) > 0
        assert torch.allclose(after[name][covered], model[name][covered], rtol=1e-12, atol=1e-10)


@given(weights=st.lists(st.integers(1, 50).map(float), min_size=1, max_size=5), data=st.data())
def test_the_shares_of_a_covered_layer_sum_to_one(weights: list[float], data: st.DataObject) -> None:
    """Each client returns ones and the model before is zero: the result is the sum of the shares."""
    senders = [data.draw(st.frozensets(st.sampled_from(NAMES), min_size=1)) for _ in weights]
    before = dict.fromkeys(NAMES, torch.zeros(1))
    crowd = [Update(dict.fromkeys(who, torch.ones(1)), w) for who, w in zip(senders, weights, strict=True)]
    after = merged(Covered(), before, crowd)
    for name in NAMES:
        assert after[name].item() == pytest.approx(float(any(name in who for who in senders)))


@given(before=models, crowd=disjoint_crowds(), staleness=DISCOUNTS)
def test_for_disjoint_masks_covered_writes_back_by_owner(
    before: Model, crowd: list[Update], staleness: Constant | Poly | Hinge
) -> None:
    owned = dict(before)
    for update in crowd:
        owned = {n: torch.where(update.masks[n], update.values[n], owned[n]) for n in NAMES}
    assert close(merged(WriteBack(), before, crowd), owned)
    assert close(merged(Covered(staleness=staleness), before, crowd), owned)


@given(before=models, crowd=crowds)
def test_fresh_deltas_of_one_version_average_as_covered(before: Model, crowd: list[Update]) -> None:
    """FedBuff with a buffer of one cohort is FedAvg (P25); per coordinate the covering updates divide."""
    fresh = [
        replace(u, staleness=0, base={n: u.held(n, before[n]) for n in u.values}, weight=1.0) for u in crowd
    ]
    assert same(merged(Delta(weights="equal"), before, fresh), merged(Covered(), before, fresh))


@given(before=models, crowd=crowds)
def test_mixed_in_entirely_a_fresh_update_takes_the_models_place_where_it_was_trained(
    before: Model, crowd: list[Update]
) -> None:
    fresh = replace(crowd[0], staleness=0)
    after, whole = merged(Mix(mixing=1.0), before, [fresh]), spread(fresh).values
    expected = {n: torch.where(trained(fresh, n), whole.get(n, before[n]), before[n]) for n in NAMES}
    assert close(after, expected)
    assert same(merged(Mix(mixing=0.0), before, crowd), before)
