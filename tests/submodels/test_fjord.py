"""FjORD: a level of width for each batch (algorithms 3.10; P13, P36)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.func import functional_call

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation.covered import Covered
from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.experiment import execute
from edgesim.models._slicing import make_slicer
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.parts import prepare
from edgesim.registry import component
from edgesim.scenario import resolve
from edgesim.submodels._prefix import prefix_cut
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.fjord import LEVEL, FjORD, OrderedDropout, _at_level
from edgesim.submodels.heterofl import HeteroFL
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution
from edgesim.training.evaluate import without_running_statistics
from edgesim.training.ledger import Ledger
from edgesim.training.objective import cross_entropy
from edgesim.training.optimizer import Sgd
from tests.aggregation.merging import merged
from tests.training.federations import federation, same_bits, weights_after
from tests.training.visits import make

STRUCTURE = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4
BARE = HeteroFL(masked_classes=False, scaler=False)  # trains the physically small network and nothing else


def assigned(strategy: FjORD, width: float | None, structure: ModelStructure = STRUCTURE) -> Submodel:
    return strategy.assign({}, structure, Context(0, 0, 0, width))


def network(kind: str) -> nn.Module:
    return without_running_statistics(make(kind))


def levels_of(widths: Sequence[float]) -> FjORD:
    return FjORD(levels=tuple(widths))


def test_a_device_holds_the_prefix_of_its_width() -> None:
    submodel = assigned(FjORD(), 0.6)
    assert submodel.cut is prefix_cut(STRUCTURE.units, 0.6)
    assert (submodel.cut.widths, submodel.label, submodel.scaler) == ((5, 4), "fjord width 0.6", False)
    assert assigned(FjORD(), 1.0).cut is None
    assert FjORD().ladder(STRUCTURE) == (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize("width", [0.5, 0.0, 1.2, None])
def test_a_width_that_is_no_level_is_an_error(width: float | None) -> None:
    with pytest.raises(InputError, match=r"one of the levels 0\.2, 0\.4, 0\.6, 0\.8, 1; got"):
        assigned(FjORD(), width)


@pytest.mark.parametrize("levels", ["[]", "[0.5, 0.5]", "[1.0, 0.5]", "[0.0, 1.0]"])
def test_levels_rise_within_0_to_1(levels: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(FjORD).validate_json(f'{{"levels": {levels}}}')


def test_each_coordinate_knows_the_first_level_that_has_it() -> None:
    # Of 7 units the levels 0.2, 0.4, 0.6 have 2, 3, 5; of 6 they have 2, 3, 4.
    nest = assigned(FjORD(), 0.6).nest
    assert nest is not None
    assert nest.levels == 3
    rows, columns = nest.first["3.weight"]
    assert rows is not None
    assert columns is not None
    assert (rows.tolist(), columns.tolist()) == ([0, 0, 1, 2], [0, 0, 1, 2, 2])
    assert nest.first["1.weight"][1] is None  # the inputs are never cut
    assert nest.first["5.weight"][0] is None  # nor the classes


def test_levels_are_drawn_uniformly_up_to_the_width_of_the_device() -> None:
    steps = 4000
    submodel = assigned(FjORD(), 0.6)
    drawn = OrderedDropout().draws(submodel, steps, lambda: np.random.default_rng(0))[LEVEL]
    counts = np.bincount(drawn.astype(int), minlength=3)
    three_errors = 3 * np.sqrt(steps * 1 / 3 * 2 / 3)
    assert len(counts) == 3
    assert np.abs(counts - steps / 3).max() < three_errors


@component
class Lowest(FjORD):
    """Every batch draws the lowest level."""

    @property
    def rule(self) -> OrderedDropout:
        return LowestLevel(self.distill)


@dataclass(frozen=True)
class LowestLevel(OrderedDropout):
    def draws(self, submodel: Submodel, steps: int, generator: np.random.Generator):  # noqa: ARG002
        return {LEVEL: np.zeros(steps)}


@pytest.mark.parametrize("kind", ["mlp", "conv", "batch_norm"])
def test_a_batch_of_a_level_trains_what_the_physically_small_network_would(kind: str) -> None:
    ordered = federation(Lowest(levels=(0.5, 0.8)), [0.8] * 4, network=network(kind))
    small = federation(BARE, [0.5] * 4, network=network(kind))
    before = dict(small.weights)
    own, expected = weights_after(ordered, 2), weights_after(small, 2)
    assert any(not torch.equal(expected[name], before[name]) for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=1e-12)
        untouched = value == before[name]
        assert torch.equal(own[name][untouched], value[untouched])


def test_with_one_level_it_is_the_small_network_bit_for_bit() -> None:
    one, other = (
        weights_after(federation(s, [0.5] * 4, aggregator=Covered()), 2) for s in (levels_of([0.5]), BARE)
    )
    assert same_bits(one, other)


def test_with_the_whole_model_as_its_only_level_it_is_fedavg_bit_for_bit() -> None:
    assert same_bits(
        weights_after(federation(levels_of([1.0]), [1.0] * 4), 2), weights_after(federation(), 2)
    )


def test_a_cut_channel_is_exactly_zero_behind_its_batch_norm_and_the_others_are_as_if_alone() -> None:
    whole = network("batch_norm")  # 3 channels in each of two layers; level 0 of 0.3 and 1 has one of them
    structure = read_structure(network("batch_norm").float(), (1, 6, 6))
    submodel = assigned(levels_of([0.3, 1.0]), 1.0, structure)
    params = {name: p.detach() for name, p in whole.named_parameters()}
    aux = OrderedDropout().aux(submodel, params) | {LEVEL: torch.zeros((), dtype=torch.float64)}
    seen: list[Tensor] = []
    whole[1].register_forward_hook(lambda module, inputs, output: seen.append(output))  # noqa: ARG005
    x = torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for tensors in (params, _at_level(params, aux)):
        functional_call(whole, tensors, (x,))
    assert torch.count_nonzero(seen[1][:, 1:]) == 0
    assert torch.equal(seen[1][:, 0], seen[0][:, 0])


@pytest.mark.parametrize("distill", [False, True])
def test_stacked_and_sequential_training_agree(distill: bool) -> None:
    strategy, widths = FjORD(distill=distill), [0.2, 0.6, 0.6, 1.0]
    one = weights_after(federation(strategy, widths), 2)
    stacked = Execution(mode="stacked", cohort=3)
    other = weights_after(federation(strategy, widths, execution=stacked), 2)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-12)


def distilled(level: float) -> tuple[Tensor, Tensor]:
    """Loss and gradient on two inputs and one class beside, of which level 0 sees one input."""
    weight = torch.tensor([[1.0, 2.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    aux = {LEVEL: torch.tensor(level), "first/1/w": torch.tensor([[0.0, 1.0]])}
    x, y = torch.tensor([[1.0, 1.0]], dtype=torch.float64), torch.tensor([0])
    loss = OrderedDropout(distill=True).loss(
        lambda tensors, inputs: inputs @ tensors["w"].T,
        {"w": weight},
        x,
        y,
        torch.ones(1, dtype=torch.float64),
        aux,
        cross_entropy,
    )
    (gradient,) = torch.autograd.grad(loss, weight)
    return loss.detach(), gradient


def test_the_whole_network_teaches_the_smaller_one_and_learns_nothing_from_it() -> None:
    # Outputs: 3 and 0 of the whole, 1 and 0 of the nested one. s is the logistic function.
    whole, nested = 1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))
    loss, gradient = distilled(level=0)
    assert loss.item() == pytest.approx(
        -np.log(whole) - whole * np.log(nested) - (1 - whole) * np.log(1 - nested)
    )
    by_labels, by_teacher = whole - 1, nested - whole
    expected = [[by_labels + by_teacher, by_labels], [-by_labels - by_teacher, -by_labels]]
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-12)


def test_at_its_full_width_a_network_teaches_itself_nothing() -> None:
    whole = 1 / (1 + np.exp(-3))
    _, gradient = distilled(level=1)
    np.testing.assert_allclose(gradient.numpy(), [[whole - 1] * 2, [1 - whole] * 2], atol=1e-12)


def test_a_visit_costs_the_mean_over_its_levels_and_holds_its_full_width() -> None:
    work, optimizer = LocalWork(1, None, 5), Sgd(0.9)
    ledger, small = (
        Ledger(STRUCTURE, s, work, optimizer, np.array([17]), np.array([1.0])) for s in (FjORD(), BARE)
    )
    levels = [small.workload_of(small.expected(width), 17) for width in (0.2, 0.4, 0.6)]
    charged = ledger.workload_of(ledger.expected(0.6), 17)
    assert charged.forward_flops == round(sum(each.forward_flops for each in levels) / 3)
    assert charged.backward_flops == round(sum(each.backward_flops for each in levels) / 3)
    linear = [next(o.flops for o in each.operators if o.kind == "linear") for each in (*levels, charged)]
    assert linear[-1] == round(sum(linear[:-1]) / 3)
    for name in ("bytes_down", "bytes_up", "memory_bytes", "steps", "samples", "density", "kept"):
        assert getattr(charged, name) == getattr(levels[-1], name)


def test_distillation_costs_a_step_of_the_full_width_besides() -> None:
    costs = []
    for strategy in (FjORD(), FjORD(distill=True), BARE):
        ledger = Ledger(STRUCTURE, strategy, LocalWork(1, None, 5), Sgd(), np.array([17]), np.array([1.0]))
        costs.append(ledger.workload_of(ledger.expected(0.6), 17))
    assert abs(costs[1].train_flops - costs[0].train_flops - costs[2].train_flops) <= 2  # each is rounded
    assert costs[1].shape != costs[0].shape


def test_the_average_over_who_holds_a_coordinate_is_the_average_of_each_level() -> None:
    levels, samples = (0.2, 0.6, 1.0), (3.0, 5.0, 4.0)
    generator = torch.Generator().manual_seed(0)
    weights = {"3.weight": torch.randn(6, 7, dtype=torch.float64, generator=generator)}
    updates = []
    for level, count in zip(levels, samples, strict=True):
        place = make_slicer(STRUCTURE.units, prefix_cut(STRUCTURE.units, level).kept).places["3.weight"]
        value = torch.randn(weights["3.weight"][place].shape, dtype=torch.float64, generator=generator)
        updates.append(Update({"3.weight": value}, count, places={"3.weight": place}))
    after = merged(Covered(), weights, updates)["3.weight"]
    level_wise = torch.full((6, 7), torch.nan, dtype=torch.float64)
    for number in reversed(range(len(levels))):  # each smaller level overwrites its own slice
        rows, columns = updates[number].values["3.weight"].shape
        able = updates[number:]
        total = sum(update.weight for update in able)
        level_wise[:rows, :columns] = sum(
            update.values["3.weight"][:rows, :columns] * (update.weight / total) for update in able
        )
    torch.testing.assert_close(after, level_wise, rtol=0, atol=1e-12)


SCENARIO = """\
name: digits
model: {name: mlp, hidden: [32]}
dataset: digits
fleet:
  - {profile: raspberry-pi-4, count: 4, capacity: 0.4}
  - {profile: raspberry-pi-4, count: 4, capacity: 1.0}
submodel: {name: fjord, levels: [0.2, 0.4, 0.7, 1.0], distill: true}
coordination: {name: synchronous, clients_per_round: 8}
training: {epochs: 4, batch_size: 20, learning_rate: 0.1}
evaluate: {every: 12 rounds, submodels: true}
stop: {rounds: 12}
"""


def test_every_width_learns_digits_and_no_coordinate_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(SCENARIO)
    tables = execute(prepare(resolve(open_document(str(tmp_path / "digits.yaml"))))).tables
    for suffix, at_least in (("_at_0.2", 0.6), ("_at_0.4", 0.8), ("_at_0.7", 0.85), ("", 0.85)):
        assert tables["evaluations"][f"accuracy{suffix}"][-1] > at_least
    assert set(tables["coverage"]["covered_fraction"]) == {1.0}
