"""Sketched coordinates: which ones, scaled how, and what is sent (algorithms 3.5; P9).

That whole runs follow theory is shown in `tests/theory`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from edgesim.models._structure import ModelStructure, read_structure
from edgesim.models.vector import Vector
from edgesim.rng import Streams
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.ist_sketch import IstSketch
from tests.theory.ist import sized
from tests.theory.quadratics import run

SIZE = 11
VECTOR = read_structure(Vector(layers=3).build((SIZE + 1, SIZE), 1), (SIZE + 1, SIZE))
X = {"groups.0.weight": torch.arange(1.0, 5.0, dtype=torch.float64)[None]}


def dealt(strategy: IstSketch, clients: int, version: int = 0, visit: int = 0) -> list[Submodel]:
    """The sub-models of the clients of one round."""
    contexts = [
        Context(place + 7, visit, version, 1.0, place, clients, streams=Streams(5))
        for place in range(clients)
    ]
    return [strategy.assign({}, VECTOR, context) for context in contexts]


def held(submodel: Submodel) -> np.ndarray:
    """The coordinates in one row."""
    assert submodel.mask is not None
    return np.concatenate([mask.ravel() for mask in submodel.mask.tensors.values()])


def counts(submodels: list[Submodel]) -> np.ndarray:
    """How many clients hold each coordinate."""
    return np.sum([held(submodel) for submodel in submodels], axis=0)


def small(strategy: IstSketch, clients: int = 2) -> tuple[Submodel, np.ndarray]:
    """The sub-model of one of the clients of four coordinates, and which of them it holds."""
    structure: ModelStructure = read_structure(Vector().build((5, 4), 1), (5, 4))
    submodel = strategy.assign({}, structure, Context(0, 0, 0, 1.0, 0, clients, streams=Streams(5)))
    return submodel, held(submodel)


def viewed(strategy: IstSketch, submodel: Submodel) -> Tensor:
    rule = strategy.rule
    return rule.view(X, rule.aux(submodel, X))["groups.0.weight"][0]


@pytest.mark.parametrize("sketch", ["permutation", "preconditioned"])
@pytest.mark.parametrize("clients", [2, 3, 11])
def test_the_masks_of_a_version_deal_out_the_coordinates_in_blocks_equal_within_one(
    sketch: str, clients: int
) -> None:
    made = dealt(IstSketch(sketch=sketch), clients)
    assert (counts(made) == 1).all()
    sizes = [held(submodel).sum() for submodel in made]
    assert max(sizes) - min(sizes) <= 1
    for submodel, size in zip(made, sizes, strict=True):
        assert submodel.mask is not None
        assert sum(submodel.mask.kept.values()) == size


def test_more_clients_than_coordinates_leave_some_with_none() -> None:
    made = dealt(IstSketch(), SIZE + 2)
    assert (counts(made) == 1).all()
    assert sorted(held(submodel).sum() for submodel in made) == [0] * 2 + [1] * SIZE


def test_later_versions_deal_them_out_anew_and_later_visits_of_the_same_version_do_not() -> None:
    strategy = IstSketch()
    first, same, later = dealt(strategy, 3), dealt(strategy, 3, visit=1), dealt(strategy, 3, version=1)
    assert [held(each).tolist() for each in first] == [held(each).tolist() for each in same]
    assert [held(each).tolist() for each in first] != [held(each).tolist() for each in later]
    assert len({each.key for each in first}) == 3


def test_random_coordinates_are_drawn_by_each_client_for_itself() -> None:
    made = [dealt(IstSketch(sketch="random"), 4, visit=visit) for visit in range(200)]
    assert all(held(submodel).sum() == 3 for round_of in made for submodel in round_of)  # 11 / 4, rounded up
    together = np.array([counts(round_of) for round_of in made])
    assert together.max() > 1
    assert together.min() == 0
    assert together.mean(0) == pytest.approx(4 * 3 / SIZE, abs=4 * np.sqrt(4 * 3 / SIZE / 200))


def test_permutations_multiply_what_is_held_by_the_number_of_clients() -> None:
    submodel, mask = small(IstSketch())
    assert viewed(IstSketch(), submodel).tolist() == [
        2 * x * on for x, on in zip(range(1, 5), mask, strict=True)
    ]


def test_preconditioning_multiplies_by_the_root_and_divides_by_that_of_the_curvature_in_the_loss() -> None:
    strategy = IstSketch(sketch="preconditioned")
    submodel, mask = small(strategy)
    assert viewed(strategy, submodel).numpy() == pytest.approx(np.sqrt(2) * np.arange(1, 5) * mask)
    # One round of one client: x - gamma D^-1/2 (A D^-1/2 x - b).
    found = run(*sized(1, 4, rounds=1), "submodel.sketch=preconditioned", "training.learning_rate=0.5")
    scale = 1 / np.sqrt(found.problem.diagonals[0])
    gradient = scale * found.problem.gradient(scale * found.x[0])
    assert found.x[1] == pytest.approx(found.x[0] - 0.5 * gradient)


def test_random_coordinates_are_multiplied_by_all_over_those_drawn() -> None:
    submodel, mask = small(IstSketch(sketch="random"), clients=3)
    assert mask.sum() == 2
    assert viewed(IstSketch(sketch="random"), submodel).numpy() == pytest.approx(2 * np.arange(1, 5) * mask)


@pytest.mark.parametrize("strategy", [IstSketch(sketch="identity"), IstSketch()])
def test_identity_and_whoever_is_alone_hold_all_as_it_is(strategy: IstSketch) -> None:
    submodel = strategy.assign({}, VECTOR, Context(0, 0, 0, 1.0, 0, 1, streams=Streams(5)))
    assert (submodel.mask, submodel.mask_bytes, submodel.key) == (None, 0, "weights")


def test_a_sketched_gradient_is_that_of_the_whole_model_and_moves_what_was_drawn() -> None:
    strategy = IstSketch(of="gradient")
    submodel, mask = small(strategy)
    x = {name: value.clone().requires_grad_() for name, value in X.items()}
    seen = strategy.rule.view(x, strategy.rule.aux(submodel, X))["groups.0.weight"]
    assert torch.equal(seen, X["groups.0.weight"])
    seen.square().sum().backward()
    (moved,) = (value.grad for value in x.values())
    assert moved is not None
    assert moved[0].numpy() == pytest.approx(2 * 2 * np.arange(1, 5) * mask)


@pytest.mark.parametrize(
    ("override", "down", "up"),
    [
        ("submodel.sketch=permutation", 4 * 2 + 8, 4 * 2),
        ("submodel.sketch=random", 4 * 2 + 8, 4 * 2),
        ("submodel.sketch=identity", 4 * 8, 4 * 8),
        ("submodel.of=gradient", 4 * 8 + 8, 4 * 2),
    ],
)
def test_what_is_held_and_a_seed_go_down_and_what_is_trained_comes_back(
    override: str, down: int, up: int
) -> None:
    found = run(*sized(4, 8, rounds=1), override).outcome.tables["dispatches"]
    assert set(found["bytes_down"]) == {down}
    assert set(found["bytes_up"]) == {up}


def test_a_preconditioned_sketch_of_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match="preconditioned is a sketch of the model; use permutation, random"):
        IstSketch(sketch="preconditioned", of="gradient")
