"""FedGMR's masks: the most important weights, nested, refreshed now and then (algorithms 3.7; P20, P23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgesim.aggregation._aggregator import Update
from edgesim.aggregation._staleness import Poly
from edgesim.aggregation.covered import Covered
from edgesim.errors import InputError
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.submodels._importance import prunable
from edgesim.submodels._submodel import Context, Mask, Submodel
from edgesim.submodels.fedgmr import FedGMR, Refresh
from tests.aggregation.merging import merged
from tests.contract._zoo import structure_of, tensors_of
from tests.scenarios import BASE
from tests.test_experiment import ran, same
from tests.training.federations import federation, order
from tests.training.visits import difference, make

# Two layers; the first is thinned out, 2 units with 3 weights each.
SMALL = read_structure(nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)), (3,))
FIRST = torch.tensor([[0.6, -0.1, 0.2], [0.3, -0.5, 0.4]])
MLP = read_structure(make("mlp", torch.float32), (1, 6, 6))  # 36-7-6-4: 252 and 42 weights
DENSITIES = st.floats(0.001, 0.999)


def weights_of(first: Tensor) -> dict[str, Tensor]:
    return {
        "1.weight": first,
        "1.bias": torch.ones(2),
        "3.weight": torch.ones(2, 2),
        "3.bias": torch.ones(2),
    }


def refreshed(
    strategy: FedGMR, structure: ModelStructure, *versions: Mapping[str, Tensor]
) -> tuple[Refresh, Mapping[str, Tensor]]:
    """What is remembered when the model was this at each of its refreshes, and the last of them."""
    memory = None
    for number, weights in enumerate(versions):
        memory = strategy.remember(weights, structure, memory, number * strategy.refresh)
    assert memory is not None
    return memory, versions[-1]


def mask_of(density: float, *versions: Mapping[str, Tensor], score: str = "wg") -> Mask:
    strategy = FedGMR(score=score)
    memory, weights = refreshed(strategy, SMALL, *versions)
    mask = strategy.assign(weights, SMALL, context(density, memory)).mask
    assert mask is not None
    return mask


def context(density: float, memory: Refresh | None = None) -> Context:
    return Context(0, 0, 0, density, streams=Streams(0), memory=memory)


def of_mlp(density: float) -> Submodel:
    strategy = FedGMR()
    memory, weights = refreshed(strategy, MLP, tensors_of(make("mlp", torch.float32)))
    return strategy.assign(weights, MLP, context(density, memory))


# ------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("density", "held"),
    [
        (1 / 6, [[1, 0, 0], [0, 0, 0]]),
        (0.5, [[1, 0, 0], [0, 1, 1]]),
        (4 / 6, [[1, 0, 0], [1, 1, 1]]),
        (5 / 6, [[1, 0, 1], [1, 1, 1]]),
    ],
)
def test_at_first_the_largest_weights_are_held(density: float, held: list[list[int]]) -> None:
    mask = mask_of(density, weights_of(FIRST))
    assert mask.tensors["1.weight"].astype(int).tolist() == held
    assert mask.kept == {"1.weight": np.sum(held)}


@pytest.mark.parametrize(
    ("score", "held"),
    # |W| is .1 .2 .3 .6 .5 .4, the change .0 .1 .2 .0 .1 .3 and their product .00 .02 .06 .00 .05 .12
    [("w", [[0, 0, 0], [1, 1, 1]]), ("wg", [[0, 0, 1], [1, 0, 1]]), ("g2", [[0, 0, 1], [1, 0, 1]])],
)
def test_later_what_moved_counts_too_beside_the_floor_of_the_largest(
    score: str, held: list[list[int]]
) -> None:
    now = torch.tensor([[0.1, 0.2, -0.3], [0.6, 0.5, -0.4]])
    before = now - torch.tensor([[0.0, 0.1, -0.2], [0.0, 0.1, 0.3]])
    mask = mask_of(0.5, weights_of(before), weights_of(now), score=score)
    assert mask.tensors["1.weight"].astype(int).tolist() == held


def test_the_three_scores_order_differently() -> None:
    now = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.0, 0.0]])
    before = now - torch.tensor([[0.0, 0.5, 0.3], [0.1, 0.0, 0.0]])
    second = {}
    for score in ("w", "wg", "g2"):  # beside the first, which is the floor
        mask = mask_of(2 / 6, weights_of(before), weights_of(now), score=score)
        second[score] = int(np.flatnonzero(mask.tensors["1.weight"])[1])
    assert second == {"w": 3, "wg": 2, "g2": 1}


def test_of_equals_the_first_are_held_and_half_a_weight_is_rounded_up() -> None:
    mask = mask_of(0.25, weights_of(torch.full((2, 3), 0.5)))  # 1.5 of 6
    assert mask.tensors["1.weight"].astype(int).tolist() == [[1, 1, 0], [0, 0, 0]]


def test_a_bias_is_silenced_where_its_unit_has_no_weight_left() -> None:
    mask = mask_of(1 / 6, weights_of(FIRST))
    assert mask.tensors["1.bias"].tolist() == [True, False]
    assert mask_of(0.5, weights_of(FIRST)).tensors["1.bias"].all()
    assert not {"3.weight", "3.bias"} & mask.tensors.keys()


def test_the_largest_weights_of_each_layer_are_held_at_any_density() -> None:
    weights = dict(tensors_of(make("mlp", torch.float32)))
    weights["3.weight"] = weights["3.weight"] / 1000
    strategy = FedGMR()
    memory, _ = refreshed(strategy, MLP, weights)
    mask = strategy.assign(weights, MLP, context(0.001, memory)).mask
    assert mask is not None
    assert mask.kept == {"1.weight": 6, "3.weight": 1}  # 2 % of 252 and of 42, rounded up
    largest = int(weights["3.weight"].abs().argmax())
    assert np.flatnonzero(mask.tensors["3.weight"]).tolist() == [largest]
    mask = strategy.assign(weights, MLP, context(0.1, memory)).mask
    assert mask is not None
    assert mask.kept == {"1.weight": 28, "3.weight": 1}  # which counts towards the density


# -------------------------------------------------------------------------------------- what is pruned


@pytest.mark.parametrize(
    "structure",
    [structure_of("vision transformer"), read_structure(make("group_norm", torch.float32), (1, 6, 6))],
    ids=["vision transformer", "group norm"],
)
def test_norms_biases_tokens_and_the_last_layer_are_never_pruned(structure: ModelStructure) -> None:
    found = prunable(structure)
    parameters = dict(structure.network.named_parameters())
    assert all(parameters[tensor].dim() > 1 and "weight" in tensor for tensor in found)
    assert not found.keys() & set(structure.layers[-1].tensors)
    for layer in structure.layers[:-1]:
        assert sum(tensor in found for tensor in layer.tensors) == (layer.kind != "norm")


def test_a_model_of_one_layer_has_nothing_to_prune() -> None:
    structure = read_structure(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (4,))
    with pytest.raises(InputError, match="submodel: prunes all layers but the last"):
        FedGMR().assign({}, structure, context(0.5))


@pytest.mark.parametrize("density", [0.0, 1.5, None])
def test_a_density_outside_0_to_1_is_an_error(density: float | None) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        FedGMR().assign({}, MLP, Context(0, 0, 0, density))


# ---------------------------------------------------------------------------------- densities (P20)


@given(DENSITIES, DENSITIES)
def test_masks_of_one_refresh_are_nested_and_as_dense_as_asked(one: float, other: float) -> None:
    smaller, larger = (of_mlp(density).mask for density in sorted((one, other)))
    assert smaller is not None
    assert larger is not None
    for name, held in smaller.tensors.items():
        assert not (held & ~larger.tensors[name]).any()
    for mask in (smaller, larger):
        assert sum(mask.kept.values()) == max(7, int(mask.density * 294 + 0.5))
        assert all(mask.kept[name] == mask.tensors[name].sum() for name in mask.kept)


@given(DENSITIES)
def test_what_it_costs_is_known_before_there_are_weights(density: float) -> None:
    nominal, real = FedGMR().assign({}, MLP, context(density)), of_mlp(density)
    assert nominal.mask is not None
    assert real.mask is not None
    assert sum(nominal.mask.kept.values()) == sum(real.mask.kept.values())
    assert nominal.mask_bytes == real.mask_bytes
    shares = [nominal.mask.kept[name] / size for name, size in (("1.weight", 252), ("3.weight", 42))]
    assert abs(shares[0] - shares[1]) <= 1 / 42


def test_a_mask_travels_in_the_shorter_of_two_encodings() -> None:
    assert of_mlp(0.03).mask_bytes == 4 * 9  # numbers of the held weights, below a density of 1/32
    assert of_mlp(0.05).mask_bytes == 37  # a bit for each of the 294
    assert of_mlp(1.0).mask_bytes == 0
    assert of_mlp(1.0).mask is None


# --------------------------------------------------------------------------------- refreshes (P23)


def test_between_refreshes_masks_are_the_same_objects_and_are_sent_once() -> None:
    learner = federation(FedGMR(refresh=2), [0.1, 0.1, 0.5, 1.0])
    seen: list[list[Submodel]] = []
    parts: list[list[int]] = []
    for version in range(4):
        orders = [order(4 * version + device, device, version, version) for device in range(4)]
        parts.append([len(workload.parts_down) for workload in learner.assign(orders)])
        seen.append([learner.ledger.open[each.dispatch].submodel for each in orders])
        learner.aggregate([each.dispatch for each in orders], [0] * 4, 0.0)
    assert seen[0][0] is seen[0][1]
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert all(one is not other for one, other in zip(seen[1], seen[2], strict=True))
    assert parts == [[2, 2, 2, 1], [1, 1, 1, 1], [2, 2, 2, 1], [1, 1, 1, 1]]
    (old, new) = (rows[2].mask.tensors["1.weight"] for rows in (seen[0], seen[2]))  # type: ignore[union-attr]
    assert not np.array_equal(old, new)


def test_a_device_whose_density_grows_between_refreshes_is_sent_a_mask_from_the_same_ordering() -> None:
    learner = federation(FedGMR(), [0.1] * 4)
    learner.assign([order(0, 0)])
    before = learner.ledger.open[0].submodel.mask
    learner.ledger.capacity = np.array([0.2, 0.1, 0.1, 0.1])
    (workload,) = learner.assign([order(1, 0, 1)])
    after = learner.ledger.open[1].submodel.mask
    assert before is not None
    assert after is not None
    assert len(workload.parts_down) == 2
    assert all(not (held & ~after.tensors[name]).any() for name, held in before.tensors.items())


def test_timing_only_gives_the_visits_of_a_trained_run_to_the_last_digit(tmp_path: Path) -> None:
    text = BASE + "submodel: {name: fedgmr, density: 0.2, refresh: 2}\ngrowth: none\n"
    text += "training: {steps: 1, batch_size: 8}\n"
    small = text.replace("fedavg_cnn", "{name: mlp, hidden: [30]}")
    full, timing = (ran(tmp_path, small, timing_only=only).tables["dispatches"] for only in (False, True))
    assert all(same(column, timing[name]) for name, column in full.items() if name != "train_loss")
    sparse = "cost.sparse_speedup=0.5"
    with pytest.raises(InputError, match=r"cost\.sparse_speedup: makes seconds depend on the weights"):
        ran(tmp_path, small, sparse, timing_only=True)
    assert ran(tmp_path, small, sparse).tables["dispatches"]["outcome"]


# ------------------------------------------------------------------------ the latest updates of all


def test_an_update_that_is_merged_again_keeps_the_mask_that_it_was_trained_with() -> None:
    """Devices 0 and 1 report before the masks are refreshed, device 0 once more after it."""
    aggregator = Covered(weights="equal", staleness=Poly(exponent=1.0))
    learner = federation(FedGMR(refresh=1), [0.3] * 4, aggregator=aggregator)
    learner.ledger = replace(learner.ledger, keep_latest=True)
    learner.assign([order(0, 0), order(1, 1)])
    early = trained(learner, 1)
    learner.aggregate([0, 1], [0, 0], 1.0)
    before = dict(learner.weights)
    learner.assign([order(2, 0, 1, version=1)])
    late = trained(learner, 2)
    learner.aggregate([2], [0], 2.0)
    assert any(not torch.equal(mask, late.masks[name]) for name, mask in early.masks.items())
    expected = merged(aggregator, before, [replace(early, staleness=1), late])
    assert difference(expected, dict(learner.weights)) < 1e-12


def trained(learner, dispatch: int) -> Update:
    """The update that a dispatch is going to make."""
    assignment = learner.ledger.open[dispatch]
    job = learner._job(assignment)
    (result,) = learner.trainer.train([job])
    update = learner._update(assignment, 0, job, result)
    return replace(update, values={name: value.clone() for name, value in update.values.items()})
