"""The model `vector`: the value and gradient of a quadratic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.errors import InputError
from edgesim.models._structure import read_structure
from edgesim.models.vector import Vector, curvature
from tests.scenarios import refusal
from tests.theory.quadratics import QUADRATIC, run

SAMPLES = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def built(layers: int = 1) -> nn.Module:
    return Vector(layers=layers).build((6, 5), 1).double()


def coordinates(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.flatten() for p in network.parameters()])


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_value_and_gradient_are_those_of_the_quadratic(layers: int) -> None:
    network = built(layers)
    values = network(SAMPLES)
    values.sum().backward()
    x, factors, b = coordinates(network).detach().numpy(), SAMPLES[:, :-1].numpy(), SAMPLES[:, -1].numpy()
    matrices = np.einsum("nki,nkj->nij", factors, factors)
    expected = np.einsum("i,nij,j->n", x, matrices, x) / 2 - b @ x
    gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert values.shape == (3, 1)
    assert values[:, 0].detach().numpy() == pytest.approx(expected)
    assert gradient.numpy() == pytest.approx((matrices @ x - b).sum(0))


def test_layers_are_consecutive_groups_of_coordinates_as_equal_as_can_be() -> None:
    structure = read_structure(Vector(layers=3).build((6, 5), 1), (6, 5))
    assert [layer.parameters for layer in structure.layers] == [2, 2, 1]
    assert structure.parameters == 5


def test_the_start_is_drawn_from_a_standard_normal_distribution() -> None:
    torch.manual_seed(0)
    drawn = coordinates(Vector().build((2, 4000), 1)).detach()
    assert float(drawn.mean()) == pytest.approx(0, abs=4 / np.sqrt(4000))
    assert float(drawn.std()) == pytest.approx(1, abs=4 / np.sqrt(8000))


def test_the_start_of_the_data_set_is_exact_in_float64() -> None:
    start = [0.1, 1 / 3, -2.0, 1e-9, 7.0, 0.2, 0.3, 0.7]
    found = run(f"dataset.start={start}", "stop.rounds=1")
    assert found.x[0].tolist() == start


def test_its_curvature_is_the_diagonal_of_each_sample() -> None:
    expected = [np.diag(sample[:-1].T @ sample[:-1]) for sample in SAMPLES.numpy()]
    assert curvature(SAMPLES).numpy() == pytest.approx(np.array(expected))


def test_more_layers_than_coordinates_are_refused() -> None:
    with pytest.raises(InputError, match="5 coordinates"):
        Vector(layers=6).build((6, 5), 1)


def test_samples_that_are_no_matrices_are_refused() -> None:
    with pytest.raises(InputError, match="takes matrices, got samples of shape"):
        Vector().build((1, 8, 8), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model=mlp", "model: does not go with the data set"),
        ("dataset=digits", "model: does not go with the data set"),
        ("training.loss=cross_entropy", 'training.loss: "vector" gives the loss itself; leave it out'),
    ],
)
def test_functions_and_their_argument_go_together_and_have_no_other_loss(change: str, message: str) -> None:
    assert any(message in line for line in refusal(QUADRATIC, sets=[change]))
