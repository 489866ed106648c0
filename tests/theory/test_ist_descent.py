"""Where permutation sketches descend: R5, Remark 1 and condition (14) (arXiv 2306.16484; algorithms 3.5).

Perm-1 on one function, n = d, has Bbar = n D in every round. Theorem 1 then asks for a theta with

    n D L D <= (theta / 2) (L D + D L)                                                            (14)

in the order of positive semi-definite matrices. As D L D is definite, there is one exactly where L D + D L is
definite. (14) is printed in the paper; here it is read as algorithms 3.5 gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from scipy.linalg import eigh

from edgesim.datasets.quadratic import Quadratic
from tests.theory.ist import sized
from tests.theory.quadratics import Floats, Run, run

REMARK_1 = [[1.0, 1.8], [1.8, 4.0]]  # between 2ab / (a + b) = 1.6 and sqrt(ab) = 2
ARROW = [[2.0, 0.97, 0.97], [0.97, 1.0, 0.0], [0.97, 0.0, 1.0]]
INSTANCES = 40


def mixed(matrix: Floats) -> Floats:
    """L D + D L."""
    diagonal = np.diag(np.diag(matrix))
    return np.asarray(matrix @ diagonal + diagonal @ matrix)


def theta(matrix: Floats) -> float:
    """The least theta of condition (14) for n = d; infinite where there is none."""
    if np.linalg.eigvalsh(mixed(matrix))[0] <= 0:
        return np.inf
    d = len(matrix)
    diagonal = np.diag(np.diag(matrix))
    return float(eigh(d * diagonal @ matrix @ diagonal, mixed(matrix) / 2, eigvals_only=True)[-1])


def dominance(matrix: Floats) -> float:
    """The largest sum of a row beside the diagonal over what is on it; below 1 the diagonal dominates."""
    diagonal = np.diag(matrix)
    return float(((np.abs(matrix).sum(1) - diagonal) / diagonal).max())


def one_step(matrix: list[list[float]], gamma: float, rounds: int = 1) -> Run:
    """A run that begins along the eigenvector of L D + D L with the least eigenvalue."""
    start = np.linalg.eigh(mixed(np.array(matrix)))[1][:, 0].tolist()
    clients = len(matrix)
    return run(
        *sized(clients, rounds=rounds),
        f"dataset={{dimension: null, matrix: {matrix}, offset: 0, start: {start}}}",
        f"training.learning_rate={gamma}",
    )


def test_the_matrix_of_remark_1_is_definite_and_what_theorem_1_asks_for_is_not() -> None:
    given = np.array(REMARK_1)
    assert np.linalg.eigvalsh(given) == pytest.approx([0.1569, 4.8431], abs=1e-4)
    assert np.linalg.eigvalsh(mixed(given)) == pytest.approx([-0.4929, 34.493], abs=1e-3)
    assert theta(given) == np.inf


@pytest.mark.parametrize("gamma", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("matrix", [REMARK_1, ARROW], ids=["remark 1", "arrow"])
def test_a_step_along_its_negative_eigenvector_raises_f_however_small(
    matrix: list[list[float]], gamma: float
) -> None:
    found = one_step(matrix, gamma)
    assert found.gap[1] > found.gap[0] * (1 + 1e-3 * gamma)


@pytest.mark.parametrize("gamma", [0.01, 0.05, 0.1])
def test_the_iterates_go_to_the_optimum_all_the_same(gamma: float) -> None:
    found = one_step(REMARK_1, gamma, rounds=60)
    rates = 1 - gamma * 2 * np.diag(REMARK_1)
    assert found.x == pytest.approx(found.x[0] * rates ** np.arange(61)[:, None], abs=1e-12)
    assert (np.diff(found.distance) < 0).all()


def test_the_diagonal_may_dominate_and_theta_not_exist() -> None:
    """In two dimensions dominance gives c < min(a, b) <= 2ab / (a + b), and a theta; in three it does not."""
    assert dominance(np.array(ARROW)) < 1
    assert np.linalg.eigvalsh(np.array(ARROW))[0] > 0
    assert theta(np.array(ARROW)) == np.inf


@cache
def drawn(dimension: int, functions: int = 1, **how: float) -> tuple[Floats, ...]:
    """Mean matrices of made-up problems."""
    made = []
    for instance in range(INSTANCES):
        dataset = Quadratic(clients=functions, dimension=dimension, instance=instance, **how)
        made.append(np.mean([x[:-1].T @ x[:-1] for x in dataset.load(None, False).train_x], axis=0))
    return tuple(made)


def stretched(matrix: Floats, by: float, instance: int) -> Floats:
    """The same function of coordinates in other units, lognormal."""
    units = np.exp(by * np.random.default_rng(instance).normal(size=len(matrix)))
    return np.asarray(units[:, None] * matrix * units)


@pytest.mark.parametrize("dimension", [2, 5, 10])
@pytest.mark.parametrize("ridge", [0.1, 1.0, 10.0])
def test_theta_exists_where_the_diagonal_dominates_by_more_than_it_varies(
    dimension: int, ridge: float
) -> None:
    """L D + D L is congruent to D^-1 L + L D^-1, whose rows dominate if dominance (1 + kappa) is below 2.

    kappa is the largest element of D over the smallest.
    """
    applies = 0
    for instance, matrix in enumerate(drawn(dimension, ridge=ridge)):
        for found in (matrix, stretched(matrix, 0.5, instance)):
            diagonal = np.diag(found)
            enough = dominance(found) * (1 + diagonal.max() / diagonal.min()) < 2
            applies += enough
            assert np.isfinite(theta(found)) or not enough
            assert np.isfinite(theta(found)) or dimension > 2 or dominance(found) >= 1
    assert applies or ridge < 10


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_theta_is_the_trace_where_the_diagonal_is_constant_and_never_less(dimension: int) -> None:
    """With y = D x, (14) is n L <= (theta / 2) (D^-1 L + L D^-1): take the trace of both sides, n = d."""
    for matrix in drawn(dimension, ridge=0.1):
        scale = 1 / np.sqrt(np.diag(matrix))
        preconditioned = scale[:, None] * matrix * scale
        assert theta(preconditioned) == pytest.approx(dimension)
        assert theta(matrix) >= np.trace(matrix) * (1 - 1e-12) >= np.linalg.eigvalsh(matrix)[-1]


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_more_ridge_takes_no_theta_away(dimension: int) -> None:
    """It adds 2 r (L + D) + 2 r^2 I to L D + D L, which is definite."""
    for instance, matrix in enumerate(drawn(dimension, ridge=0.0)):
        found = [
            theta(stretched(matrix, 1.0, instance) + ridge * np.eye(dimension)) for ridge in (0.0, 0.1, 1.0)
        ]
        assert list(np.isinf(found)) == sorted(np.isinf(found), reverse=True)


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_theta_is_rarer_the_worse_the_condition_and_the_more_the_units_differ(dimension: int) -> None:
    conditions = [drawn(dimension, condition=condition) for condition in (10.0, 100.0, 1000.0)]
    units = [
        [stretched(matrix, by, instance) for instance, matrix in enumerate(drawn(dimension, ridge=0.1))]
        for by in (0.0, 0.5, 1.0)
    ]
    for sweep in (conditions, units):
        shares = [np.isfinite([theta(matrix) for matrix in matrices]).mean() for matrices in sweep]
        assert shares == sorted(set(shares), reverse=True)


@pytest.mark.slow
def test_how_often_theta_exists_and_how_large_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one function, of the mean of n = d, with a given condition, and in other units; shown as a table."""
    kinds = {
        "ridge 0.1": lambda d: drawn(d, ridge=0.1),
        "ridge 1": lambda d: drawn(d, ridge=1.0),
        "mean of d": lambda d: drawn(d, d, ridge=0.1),
        "condition 10": lambda d: drawn(d, condition=10.0),
        "condition 1000": lambda d: drawn(d, condition=1000.0),
        "units x/ e^0.5": lambda d: [stretched(m, 0.5, i) for i, m in enumerate(drawn(d, ridge=0.1))],
        "units x/ e": lambda d: [stretched(m, 1.0, i) for i, m in enumerate(drawn(d, ridge=0.1))],
    }
    with capsys.disabled():
        print(
            "\nproblem          d  theta exists  theta / lambda_max  theta / trace (medians where it exists)"
        )
        for kind, problems in kinds.items():
            for dimension in (2, 5, 10, 20, 50):
                print(f"{kind:14} {dimension:3}  {_row(problems(dimension))}")


def _row(matrices: Sequence[Floats]) -> str:
    found = np.array([theta(matrix) for matrix in matrices])
    known = np.isfinite(found)
    if not known.any():
        return f"{known.mean():12.0%}"
    scales = [np.linalg.eigvalsh(matrix)[-1] for matrix in matrices], [np.trace(m) for m in matrices]
    largest, trace = (np.median((found / np.array(scale))[known]) for scale in scales)
    return f"{known.mean():12.0%}  {largest:18.3g}  {trace:13.3g}"
