"""HeteroFL: the first channels of every layer (algorithms 3.8; P2, P38, P40)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation.covered import Covered
from edgesim.errors import InputError
from edgesim.models._slicing import make_slicer
from edgesim.models._structure import read_structure
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._rule import PRESENT, PresentClasses
from edgesim.submodels._submodel import Context
from edgesim.submodels.full import Full
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.cohorts import Execution, Samples
from edgesim.training.evaluate import Evaluator, has_static_norms, tracking
from edgesim.training.objective import cross_entropy
from tests.aggregation.merging import merged
from tests.training.federations import federation, run_round, same_bits, weights_after
from tests.training.visits import make

STRUCTURE = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4
EQUAL = Covered(weights="equal")
BARE = HeteroFL(masked_classes=False, scaler=False)


def context(capacity: float | None) -> Context:
    return Context(0, 0, 0, capacity)


def test_widths_are_rounded_up_and_the_cut_is_one_object() -> None:
    one, other = (HeteroFL().assign({}, STRUCTURE, context(0.5)) for _ in range(2))
    assert one.cut is not None
    assert one.cut.widths == (4, 3)
    assert one.cut is other.cut
    assert (one.scaler, one.label) == (True, "heterofl width 0.5")
    assert HeteroFL().assign({}, STRUCTURE, context(1.0)).cut is None


@pytest.mark.parametrize("width", [0.0, 1.5, None])
def test_a_width_outside_0_to_1_is_an_error(width: float | None) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        HeteroFL().assign({}, STRUCTURE, context(width))


def test_the_width_is_fixed_or_fitted() -> None:
    with pytest.raises(ValidationError, match="give width or fit, not both"):
        TypeAdapter(HeteroFL).validate_json('{"width": 0.5, "fit": {}}')


def test_at_rate_1_with_its_extras_off_it_is_fedavg_bit_for_bit() -> None:
    heterofl, fedavg = (federation(s, [1.0] * 4, aggregator=EQUAL) for s in (BARE, Full()))
    assert same_bits(weights_after(heterofl, 2), weights_after(fedavg, 2))


def test_what_no_device_holds_keeps_its_bits_and_the_rest_moves() -> None:
    learner = federation(HeteroFL(), [0.5] * 4)
    before = dict(learner.weights)
    run_round(learner, 0, range(4))
    covered = learner.ledger.covered_fraction([HeteroFL().assign({}, learner.ledger.structure, context(0.5))])
    slicer = make_slicer(STRUCTURE.units, prefix_cut(STRUCTURE.units, 0.5).kept)
    moved = 0
    for name, place in slicer.places.items():
        held = torch.zeros_like(before[name], dtype=torch.bool)
        held[tuple(place)] = True
        assert torch.equal(learner.weights[name][~held], before[name][~held])
        moved += int((learner.weights[name][held] != before[name][held]).sum())
    assert moved > 0
    # 36-4-3-4 of 36-7-6-4: (36*4+4) + (4*3+3) + (3*4+4) of (36*7+7) + (7*6+6) + (6*4+4)
    assert covered == pytest.approx(179 / 335)


def test_stacked_and_sequential_cuts_agree() -> None:
    rates = [0.25, 0.5, 0.5, 1.0]
    one = weights_after(federation(HeteroFL(), rates), 2)
    other = weights_after(federation(HeteroFL(), rates, execution=Execution(mode="stacked", cohort=3)), 2)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-12)


def test_logits_of_absent_classes_count_as_zero_and_their_rows_get_no_gradient() -> None:
    weight = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    rule, aux = PresentClasses(), {PRESENT: torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)}
    x, y = torch.randn(4, 2, dtype=torch.float64), torch.tensor([0, 2, 0, 2])
    share = torch.full((4,), 0.25, dtype=torch.float64)
    loss = rule.loss(
        lambda tensors, inputs: inputs @ tensors["w"].T, {"w": weight}, x, y, share, aux, cross_entropy
    )
    logits = x @ weight.detach().T
    logits[:, 1] = 0
    assert loss.item() == pytest.approx(cross_entropy(logits, y, share).item())
    loss.backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad[1], torch.zeros(2, dtype=torch.float64))
    assert weight.grad[0].abs().sum() > 0


def test_output_rows_of_a_class_that_nobody_has_keep_their_bits() -> None:
    learner = federation(HeteroFL(), [1.0] * 4)
    learner.trainer.samples.y[learner.trainer.samples.y == 2] = 1
    before = dict(learner.weights)
    run_round(learner, 0, range(4))
    output = next(name for name in STRUCTURE.layers[-1].tensors if name.endswith("weight"))
    assert torch.equal(learner.weights[output][2], before[output][2])
    assert not torch.equal(learner.weights[output][1], before[output][1])


def test_relabelling_hidden_units_commutes_with_aggregation() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(4, 3, dtype=torch.float64, generator=generator)}
    values = [torch.randn(4, 3, dtype=torch.float64, generator=generator) for _ in range(2)]
    order = torch.tensor([2, 0, 3, 1])
    after = merged(Covered(), weights, [Update({"w": value}, 1.0) for value in values])["w"]
    relabelled = [Update({"w": value[order]}, 1.0) for value in values]
    assert torch.equal(merged(Covered(), {"w": weights["w"][order]}, relabelled)["w"], after[order])


def test_a_coordinate_is_the_average_over_those_who_hold_it() -> None:
    weights = {"w": torch.zeros(4, dtype=torch.float64)}
    wide = Update({"w": torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)}, 1.0)
    narrow = Update({"w": torch.tensor([4.0, 4.0], dtype=torch.float64)}, 2.0, places={"w": (slice(0, 2),)})
    picked = Update({"w": torch.tensor([7.0], dtype=torch.float64)}, 1.0, places={"w": (torch.tensor([3]),)})
    after = merged(Covered(), weights, [wide, narrow, picked])["w"]
    assert after.tolist() == [3.0, 3.0, 1.0, 4.0]


def test_static_batch_norm_is_recalibrated_on_what_it_is_given() -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2, affine=False, track_running_stats=False)).double()
    assert has_static_norms(network)
    x = torch.tensor([[[0.0, 10.0]], [[4.0, 30.0]]], dtype=torch.float64)
    calibration = Samples(x, torch.tensor([0, 1]))
    shown = Samples(torch.tensor([[[2.0, 20.0]]], dtype=torch.float64), torch.tensor([0]))
    evaluator = Evaluator(tracking(network, torch.float64, "cpu"), shown, "cross_entropy", False, calibration)
    loss = evaluator({})["loss"]
    assert loss == pytest.approx(np.log(2))  # the mean of what was seen is normalised to zero
