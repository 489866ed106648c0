"""FIARSE: the largest weights of the whole model, with a smooth mask (algorithms 3.11; P20, P35)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.parts import prepare
from edgesim.rng import Streams
from edgesim.scenario import resolve
from edgesim.submodels._rule import MASK
from edgesim.submodels._submodel import Context, Mask, Submodel
from edgesim.submodels.fiarse import FIARSE, THRESHOLD, ImportanceAware
from edgesim.training.accounting import LocalWork
from edgesim.training.cohorts import Execution
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Sgd
from tests.training.federations import federation, order, run_round, same_bits, weights_after
from tests.training.visits import make

STRUCTURE = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4: 259 + 48 + 28 coordinates
WEIGHTS = {name: p.detach() for name, p in make("mlp").named_parameters()}
TOTAL = 335
DENSITIES = st.floats(0.001, 1.0)


def assigned(
    density: float,
    weights: dict[str, Tensor] | None = None,
    strategy: FIARSE | None = None,
    structure: ModelStructure = STRUCTURE,
) -> Submodel:
    given = WEIGHTS if weights is None else weights
    return (strategy or FIARSE()).assign(given, structure, Context(0, 0, 0, density, streams=Streams(0)))


def mask_of(submodel: Submodel) -> Mask:
    assert submodel.mask is not None
    return submodel.mask


def held_of(submodel: Submodel) -> np.ndarray:
    """The mask over all coordinates, in forward order."""
    return np.concatenate([mask.reshape(-1) for mask in mask_of(submodel).tensors.values()])


def two_layers(first: list[float], second: list[float]) -> tuple[ModelStructure, dict[str, Tensor]]:
    """A network 1-n-2 whose n hidden weights and biases are given; the output layer's are `second`."""
    width = len(first) // 2
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, width), nn.Linear(width, 2))
    values = torch.tensor([*first, *second])
    sizes = [p.numel() for p in network.parameters()]
    parts = zip(network.named_parameters(), values.split(sizes), strict=True)
    return read_structure(network, (1,)), {name: part.reshape(p.shape) for (name, p), part in parts}


def test_the_largest_weights_and_biases_of_the_whole_model_are_held() -> None:
    # 10 coordinates at density 0.4: the sizes 9, 8, 7, 6.
    structure, weights = two_layers([-9, 1, 2, 8], [3, -7, 4, 0.5, 0.25, 6])
    submodel = assigned(0.4, weights, structure=structure)
    mask = mask_of(submodel)
    assert {name: held.reshape(-1).tolist() for name, held in mask.tensors.items()} == {
        "1.weight": [True, False],
        "1.bias": [False, True],
        "2.weight": [False, True, False, False],
        "2.bias": [False, True],
    }
    assert set(mask.thresholds.values()) == {6.0}
    assert mask.kept == {"1.weight": 1, "1.bias": 1, "2.weight": 1, "2.bias": 1}


def test_layer_by_layer_each_gives_its_own_largest() -> None:
    structure, weights = two_layers([-9, 1, 2, 8], [3, -7, 4, 0.5, 0.25, 6])
    mask = mask_of(assigned(0.5, weights, FIARSE(layerwise=True), structure))
    assert mask.thresholds == {"1.weight": 8.0, "1.bias": 8.0, "2.weight": 4.0, "2.bias": 4.0}
    assert mask.kept == {"1.weight": 1, "1.bias": 1, "2.weight": 2, "2.bias": 1}


@given(DENSITIES)
def test_exactly_the_share_is_held_rounded_down(density: float) -> None:
    for weights in (WEIGHTS, {}, {name: torch.zeros_like(p) for name, p in WEIGHTS.items()}):
        submodel = assigned(density, weights)
        assert held_of(submodel).sum() == math.floor(density * TOTAL + 1e-6)
        assert sum(mask_of(submodel).kept.values()) == held_of(submodel).sum()


@given(DENSITIES, DENSITIES)
def test_what_a_smaller_density_holds_a_larger_one_holds_too(one: float, other: float) -> None:
    for weights in (WEIGHTS, {}):
        small, large = (held_of(assigned(density, weights)) for density in sorted((one, other)))
        assert not (small & ~large).any()


def test_norms_are_held_whole_and_do_not_count() -> None:
    structure = read_structure(make("group_norm", torch.float32), (1, 6, 6))
    mask = mask_of(assigned(0.25, {}, structure=structure))
    assert set(mask.tensors) == {f"{layer}.{kind}" for layer in (0, 3, 7) for kind in ("weight", "bias")}
    assert sum(mask.kept.values()) == (4 * 9 + 4 + 4 * 4 * 9 + 4 + 144 * 4 + 4) // 4


def test_a_mask_is_one_object_for_each_version_and_density() -> None:
    strategy = FIARSE()
    memories = [strategy.remember(WEIGHTS, STRUCTURE, None, version) for version in (0, 1)]
    one, again, denser, later = (
        strategy.assign(WEIGHTS, STRUCTURE, Context(0, 0, 0, density, memory=memory))
        for density, memory in zip((0.2, 0.2, 0.3, 0.2), (*memories[:1] * 3, memories[1]), strict=True)
    )
    assert one is again
    assert len({id(each.mask) for each in (one, denser, later)}) == 3


@pytest.mark.parametrize(("density", "described"), [(1 / 64, 4 * 5), (1 / 16, 42), (0.25, 42), (1.0, 0)])
def test_a_mask_is_described_by_bits_or_by_the_places_of_what_is_held(density: float, described: int) -> None:
    assert assigned(density).mask_bytes == described  # 335 bits are 42 bytes


def gradient_of(weights: list[float], threshold: float, held: list[float] | None = None) -> list[float]:
    """The gradient of the sum of what runs."""
    w = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    mask = torch.ones_like(w) if held is None else torch.tensor(held, dtype=torch.float64)
    aux = {MASK + "w": mask, THRESHOLD + "w": torch.tensor(threshold, dtype=torch.float64)}
    (gradient,) = torch.autograd.grad(ImportanceAware().view({"w": w}, aux)["w"].sum(), w)
    return [float(each) for each in gradient]


def test_the_gradient_is_that_of_a_smooth_mask() -> None:
    # 1 + 2 thr |w| / (|w| + thr)^2: 1.5 at the threshold, then 1 + 2 * 1 * 3 / 16.
    assert gradient_of([1.0, -1.0, 3.0, -3.0, 0.5], threshold=1.0) == [1.5, 1.5, 1.375, 1.375, 0.0]
    assert gradient_of([2.0, 0.0], threshold=0.0) == [1.0, 1.0]
    assert gradient_of([2.0, 0.0], threshold=math.inf) == [0.0, 0.0]
    assert gradient_of([0.0, 0.0], threshold=0.0, held=[1.0, 0.0]) == [1.0, 0.0]


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_the_factor_lies_between_1_and_1_5(size: float, threshold: float) -> None:
    (factor,) = gradient_of([size], threshold)
    assert 1 <= factor <= 1.5 if size >= threshold else factor == 0


def test_a_weight_that_shrinks_below_the_threshold_is_switched_off_and_none_is_switched_on() -> None:
    aux = {MASK + "w": torch.tensor([1.0, 1.0, 0.0]), THRESHOLD + "w": torch.tensor(1.0)}
    assert ImportanceAware().view({"w": torch.tensor([2.0, 0.9, 5.0])}, aux)["w"].tolist() == [2.0, 0.0, 0.0]


def surrogate(weight: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """m w with the definition's d m / d |w| = 2 thr / (|w| + thr)^2."""
    size = weight.abs()
    active = mask * (size >= threshold)
    slope = (2 * threshold / (size + threshold) ** 2).detach()
    return active * (1 + slope * (size - size.detach())) * weight


def eagerly(learner, dispatch: int) -> dict[str, Tensor]:
    """One visit by plain autograd."""
    job = learner._job(learner.ledger.open[dispatch])
    mask = mask_of(learner.ledger.open[dispatch].submodel)
    params = {name: p.clone().requires_grad_() for name, p in job.params.items()}
    for batch in job.batches:
        rows = torch.from_numpy(job.samples[batch])
        shown = {
            name: surrogate(p, torch.from_numpy(mask.tensors[name]), mask.thresholds[name])
            for name, p in params.items()
        }
        output = functional_call(job.network, shown, (learner.trainer.samples.x[rows],))
        loss = cross_entropy(output, learner.trainer.samples.y[rows])
        gradients = torch.autograd.grad(loss, list(params.values()))
        params = {
            name: (p.detach() - job.lr * g).requires_grad_()
            for (name, p), g in zip(params.items(), gradients, strict=True)
        }
    return {name: p.detach() for name, p in params.items()}


@pytest.mark.parametrize("execution", [Execution(), Execution(mode="stacked", cohort=3)])
def test_training_is_that_of_the_smooth_mask(execution: Execution) -> None:
    learner = federation(FIARSE(), [0.3] * 4, execution=execution)
    before = dict(learner.weights)
    learner.assign([order(0, 1)])
    expected = eagerly(learner, 0)
    mask = mask_of(learner.ledger.open[0].submodel)
    learner.aggregate([0], [0], 0.0)
    for name, held in mask.tensors.items():
        after = torch.where(torch.from_numpy(held), expected[name], before[name])
        torch.testing.assert_close(learner.weights[name], after, rtol=0, atol=1e-12)
        assert torch.equal(learner.weights[name][~held], before[name][~held])
    moved = sum(int((learner.weights[name] != before[name]).sum()) for name in before)
    assert moved > 50  # of 100 that are held


def test_what_holds_nothing_trains_nothing() -> None:
    learner = federation(FIARSE(), [0.002] * 4)  # less than one of 335
    before = dict(learner.weights)
    run_round(learner, 0, range(4))
    assert same_bits(before, learner.weights)


def test_momentum_and_weight_decay_leave_what_is_not_held_at_zero() -> None:
    learner = federation(FIARSE(), [0.3] * 4, optimizer=Sgd(0.9, 0.1))
    before = dict(learner.weights)
    learner.assign([order(0, 3)])
    job = learner._job(learner.ledger.open[0])
    mask = mask_of(learner.ledger.open[0].submodel)
    (result,) = learner.trainer.train([job])
    for name, held in mask.tensors.items():
        assert torch.count_nonzero(result.params[name][~held]) == 0
    assert all(torch.equal(before[name], value) for name, value in learner.weights.items())


def test_stacked_and_sequential_training_agree() -> None:
    densities = [1 / 64, 0.25, 0.25, 1.0]
    one = weights_after(federation(FIARSE(), densities), 2)
    stacked = Execution(mode="stacked", cohort=3)
    other = weights_after(federation(FIARSE(), densities, execution=stacked), 2)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", [FIARSE(), FIARSE(layerwise=True)])
def test_costs_do_not_depend_on_the_weights(strategy: FIARSE) -> None:
    capacity = np.array([1 / 64, 0.25, 0.25, 1.0])
    work = LocalWork(1, None, 5)
    books = Ledger(STRUCTURE, strategy, work, Sgd(), np.array([9, 12, 4, 15]), capacity)
    orders = [order(dispatch, dispatch % 4, dispatch // 4, dispatch // 4) for dispatch in range(8)]
    known, unknown = (
        [*ledger.take(orders[:4], given), *ledger.take(orders[4:], given)]
        for ledger, given in ((books, WEIGHTS), (replace(books.fresh()), {}))
    )
    described = [len(workload.parts_down) for workload in known]
    assert described == [2, 2, 2, 1] * 2  # each version brings a new mask, but for who holds everything
    for one, other in zip(known, unknown, strict=True):
        assert one == other


SCENARIO = """\
name: digits
model: {name: mlp, hidden: [32]}
dataset: digits
fleet:
  - {profile: raspberry-pi-4, count: 4, capacity: 0.25}
  - {profile: raspberry-pi-4, count: 4, capacity: 1.0}
submodel: fiarse
coordination: {name: synchronous, clients_per_round: 8}
training: {epochs: 4, batch_size: 20, learning_rate: 0.1}
evaluate: {every: 12 rounds, submodels: true}
stop: {rounds: 12}
"""


def test_small_and_large_masks_learn_digits(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(SCENARIO)
    tables = execute(prepare(resolve(open_document(str(tmp_path / "digits.yaml"))))).tables
    for suffix, at_least in (("_at_0.25", 0.85), ("", 0.85)):
        assert tables["evaluations"][f"accuracy{suffix}"][-1] > at_least
    assert "accuracy_at_1" not in tables["evaluations"]  # that is the whole model, and stands there already
    assert set(tables["coverage"]["covered_fraction"]) == {1.0}
