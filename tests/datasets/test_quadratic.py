"""Made-up quadratics: that the problem is the documented one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.datasets._dataset import Data
from edgesim.datasets.quadratic import Quadratic
from edgesim.errors import InputError

N, D = 4, 6


def load(**how: Any) -> Data:
    sizes = {} if "file" in how or "matrix" in how else {"clients": N, "dimension": D}
    return Quadratic(**{**sizes, **how}).load(None, False)


def curvatures(data: Data) -> np.ndarray:
    """A_i of each sample [samples, d, d]."""
    return np.stack([sample[:-1].T @ sample[:-1] for sample in data.train_x])


def offsets(data: Data) -> np.ndarray:
    """b_i of each sample [samples, d]."""
    return np.asarray(data.train_x[:, -1])


def written(folder: Path, **arrays: Any) -> Path:
    path = folder / "problem.npz"
    np.savez(path, **arrays)
    return path


def test_a_sample_is_a_factor_above_an_offset_and_every_client_has_one() -> None:
    data = load()
    assert data.train_x.shape == (N, D + 1, D)
    assert data.train_x.dtype == np.float64
    assert data.clients is not None
    assert data.clients.tolist() == list(range(N))
    assert data.test_x is data.train_x


def test_ten_clients_in_fifty_dimensions_unless_told_otherwise() -> None:
    assert Quadratic().load(None, False).train_x.shape == (10, 51, 50)


def test_the_optimum_is_where_the_mean_gradient_vanishes() -> None:
    data = load()
    assert data.optimum is not None
    gradient = curvatures(data).mean(0) @ data.optimum - offsets(data).mean(0)
    assert gradient == pytest.approx(np.zeros(D), abs=1e-12)


def test_instances_are_problems_of_their_own_and_the_same_each_time() -> None:
    assert np.array_equal(load().train_x, load().train_x)
    assert not np.allclose(load().train_x, load(instance=1).train_x)


def test_a_matrix_is_a_gaussian_square_over_the_dimension_and_a_ridge() -> None:
    data = load(clients=400, dimension=8, ridge=0.5, offset=2.0)
    # B'B / d has the mean I, and elements of variance 2/d on the diagonal and 1/d beside it.
    error = np.sqrt(2 / 8 / 400)
    assert curvatures(data).mean(0) == pytest.approx(1.5 * np.eye(8), abs=4 * error)
    assert np.linalg.eigvalsh(curvatures(data)).min() >= 0.5 - 1e-9
    assert offsets(data).std() == pytest.approx(2, rel=4 / np.sqrt(2 * 400 * 8))


def test_the_condition_is_the_largest_eigenvalue_over_the_smallest_in_equal_ratios() -> None:
    for matrix in curvatures(load(condition=100.0)):
        assert np.linalg.eigvalsh(matrix) == pytest.approx(np.geomspace(0.01, 1, D))


def test_heterogeneity_mixes_a_common_function_with_functions_of_the_clients_own() -> None:
    same, half, own = (load(heterogeneity=share) for share in (0.0, 0.5, 1.0))
    for read in (curvatures, offsets):
        assert read(same) == pytest.approx(np.broadcast_to(read(same)[0], read(same).shape))
        assert read(half) == pytest.approx((read(same) + read(own)) / 2)
        assert not np.allclose(read(own)[0], read(own)[1])


def test_the_curvature_alone_may_be_common() -> None:
    data = load(same_curvature=True)
    assert curvatures(data) == pytest.approx(np.broadcast_to(curvatures(data)[0], (N, D, D)))
    assert not np.allclose(offsets(data)[0], offsets(data)[1])


def test_diagonal_matrices_have_nothing_beside_the_diagonal() -> None:
    for matrix in curvatures(load(diagonal=True)):
        assert matrix == pytest.approx(np.diag(np.diag(matrix)), abs=1e-14)
        assert np.diag(matrix).min() >= 0.1 - 1e-12


def test_preconditioning_scales_both_matrix_and_offset_so_that_the_diagonal_is_one() -> None:
    plain, scaled = load(), load(preconditioned=True)
    scale = 1 / np.sqrt(np.einsum("ijj->ij", curvatures(plain)))
    assert curvatures(scaled) == pytest.approx(scale[:, :, None] * curvatures(plain) * scale[:, None])
    assert np.einsum("ijj->ij", curvatures(scaled)) == pytest.approx(np.ones((N, D)))
    assert offsets(scaled) == pytest.approx(scale * offsets(plain))


def test_without_offsets_the_optimum_is_zero() -> None:
    assert load(offset=0.0).optimum == pytest.approx(np.zeros(D))


def test_samples_of_a_client_scatter_about_its_offset_and_share_its_matrix() -> None:
    plain, noisy = load(), load(noise=0.5, samples=200)
    assert noisy.clients is not None
    assert noisy.clients.tolist() == np.repeat(range(N), 200).tolist()
    scattered = offsets(noisy).reshape(N, 200, D)
    assert scattered.mean(1) == pytest.approx(offsets(plain))
    assert scattered.std(1).mean() == pytest.approx(0.5, rel=0.05)
    assert curvatures(noisy)[::200] == pytest.approx(curvatures(plain))
    assert noisy.optimum == pytest.approx(plain.optimum)


def test_a_matrix_of_the_scenario_is_that_of_all_clients() -> None:
    given = ((1.0, 1.8), (1.8, 4.0))
    data = load(matrix=given, clients=3, start=(0.1, 0.2))
    assert curvatures(data) == pytest.approx(np.broadcast_to(np.array(given), (3, 2, 2)))
    assert data.start is not None
    assert data.start.tolist() == [0.1, 0.2]


def test_a_problem_may_come_from_a_file(tmp_path: Path) -> None:
    matrices, b = np.stack([np.eye(2), 2 * np.eye(2)]), np.array([[1.0, 2.0], [3.0, 4.0]])
    data = load(file=written(tmp_path, A=matrices, b=b, x0=np.array([5.0, 6.0])))
    assert curvatures(data) == pytest.approx(matrices)
    assert offsets(data) == pytest.approx(b)
    assert data.optimum == pytest.approx(np.array([4.0, 6.0]) / 3)
    assert data.start is not None
    assert data.start.tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"noise": 0.1}, "give more than 1"),
        ({"condition": 2.0, "diagonal": True}, "diagonal and condition each say what A_i is"),
        ({"condition": 2.0, "ridge": 0.1}, "leave ridge out"),
        ({"matrix": ((1.0,),), "dimension": 1}, "leave dimension out"),
        ({"file": Path("problem.npz"), "clients": 2}, "leave them out"),
    ],
)
def test_contradictions_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quadratic(**how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"matrix": ((1.0, 2.0),)}, "as many columns as rows"),
        ({"matrix": ((1.0, 2.0), (0.0, 1.0))}, "must be symmetric"),
        ({"matrix": ((1.0, 2.0), (2.0, 1.0))}, "has the eigenvalue -1"),
        ({"matrix": ((1.0, 1.0), (1.0, 1.0))}, "singular"),
        ({"start": (1.0,)}, f"must have {D} coordinates"),
    ],
)
def test_what_has_no_optimum_or_does_not_fit_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(**how)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"A": np.eye(2), "b": np.ones((1, 2))}, r"A must be of shape \[n, d, d\]"),
        ({"A": np.eye(2)[None], "b": np.ones((2, 2))}, r"b must be of shape \(1, 2\)"),
        ({"A": np.eye(2)[None], "b": np.full((1, 2), np.nan)}, "b must hold finite numbers"),
        ({"A": np.eye(2)[None], "b": np.ones((1, 2)), "x0": np.ones(3)}, r"x0 must be of shape \(2,\)"),
        ({"A": np.eye(2)[None]}, "b"),
    ],
)
def test_a_file_that_is_no_problem_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(file=written(tmp_path, **arrays))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load(file=tmp_path / "none.npz")
