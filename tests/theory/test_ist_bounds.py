"""Theorems 1 and 2 of independent subnet training: R3 and R4 (arXiv 2306.16484; algorithms 3.5).

Without offsets, b_i = 0, and with sketches of mean I, identity and permutation, Theorem 1 has

    Wbar = E[Lbar Bbar + Bbar Lbar] / 2        E[Bbar Lbar Bbar] <= theta Wbar        gamma <= 1 / theta
    (1/K) sum_k E ||grad f(x^k)||^2  <=  2 (f(x^0) - E f(x^K)) / (gamma K)      norm in Lbar^-1 Wbar Lbar^-1
    E ||x^k - x*||_Lbar^2  <=  (1 - gamma lambda_min(Lbar^-1/2 Wbar Lbar^-1/2))^k ||x^0 - x*||_Lbar^2

Theorem 2, for preconditioned sketches and offsets, has sigma^2 = E ||g - E g||_Lbar^2, beta below 1/2,
gamma <= (1/2 - beta) / (1/2 + beta), and h = x* - x_inf, by which the mean iterate misses the optimum:

    (1/K) sum_k E ||grad f(x^k)||^2  <=  2 (f(x^0) - E f(x^K)) / (gamma K)      norm in Lbar^-1
                                           + (2 (1 - gamma) / beta + gamma) ||h||_Lbar^2 + gamma sigma^2

Expectations are means over seeds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.linalg import eigh

from tests.theory.ist import problem, rate, sized
from tests.theory.quadratics import Floats, Problem, Run, run, runs
from tests.theory.recursions import enumerated

SEEDS = range(1, 5)
CLIENTS = 5
NO_OFFSETS = "dataset.offset=0"
ROUNDING = 1e-12


@dataclass(frozen=True)
class Descent:
    """What Theorem 1 asks of the sketches of a problem, by listing all permutations.

    Attributes:
        w: Wbar [d, d].
        theta: the least.
        least: the least eigenvalue of Lbar^-1/2 Wbar Lbar^-1/2.
    """

    w: Floats
    theta: float
    least: float


def descent(found: Problem, sketch: str) -> Descent:
    """Of identity or permutation sketches."""
    curvature = found.curvature
    b = curvature[None] if sketch == "identity" else enumerated(found, sketch, 1.0).u
    w = (curvature @ b + b @ curvature).mean(0) / 2
    theta = eigh((b @ curvature @ b).mean(0), w, eigvals_only=True)[-1]
    return Descent(w, float(theta), float(eigh(w, curvature, eigvals_only=True)[0]))


def mean_squares(found: Sequence[Run], matrix: Floats) -> Floats:
    """Mean over the runs of x'M x [rounds + 1] for the gradients of each version."""
    squares = [each.problem.square(each.problem.gradient(each.x), matrix) for each in found]
    return np.asarray(np.mean(squares, axis=0))


def mean_gap(found: Sequence[Run]) -> Floats:
    """Mean over the runs of f less its minimum [rounds + 1]."""
    return np.asarray(np.mean([each.gap for each in found], axis=0))


def so_far(values: Floats) -> Floats:
    """Means of the first K values, for K = 1, 2, ..., without the last one of all."""
    return np.asarray(np.cumsum(values[:-1]) / np.arange(1, len(values)))


def theorem_1_holds(found: Sequence[Run], theory: Descent, gamma: float) -> None:
    inverse = np.linalg.inv(found[0].problem.curvature)
    gap, rounds = mean_gap(found), np.arange(len(found[0].x))
    gradients = so_far(mean_squares(found, inverse @ theory.w @ inverse))
    assert (gradients <= 2 * (gap[0] - gap[1:]) / (gamma * rounds[1:]) + ROUNDING).all()
    assert (2 * gap <= (1 - gamma * theory.least) ** rounds * 2 * gap[0] + ROUNDING).all()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_theorem_1_bounds_gradient_descent(share: float) -> None:
    sizes = (*sized(CLIENTS, rounds=40), NO_OFFSETS)
    theory = descent(problem(*sizes), "identity")
    assert theory.theta == pytest.approx(np.linalg.eigvalsh(problem(*sizes).curvature)[-1])
    gamma = share / theory.theta
    theorem_1_holds([run(*sizes, "submodel.sketch=identity", rate(gamma))], theory, gamma)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_theorem_1_bounds_permutations_where_the_diagonal_dominates(share: float) -> None:
    sizes = (*sized(CLIENTS, rounds=25), NO_OFFSETS, "dataset.ridge=5")
    found = problem(*sizes)
    outside = np.abs(found.curvatures).sum(2) - found.diagonals
    assert (outside < found.diagonals).all()
    theory = descent(found, "permutation")
    gamma = share / theory.theta
    theorem_1_holds(runs(*sizes, rate(gamma), seeds=SEEDS), theory, gamma)


def test_identity_sketches_are_fedavg_with_one_full_gradient_step_to_the_last_bit() -> None:
    settings = (*sized(CLIENTS, rounds=30), rate(0.3))
    sketched = run(*settings, "submodel.sketch=identity")
    of_gradient = run(*settings, "submodel={name: ist_sketch, sketch: identity, of: gradient}")
    fedavg = run(*settings, "submodel=full")
    assert np.array_equal(sketched.x, fedavg.x)
    assert np.array_equal(of_gradient.x, fedavg.x)
    descending = fedavg.x[:-1] - 0.3 * fedavg.problem.gradient(fedavg.x[:-1])
    assert fedavg.x[1:] == pytest.approx(descending, abs=ROUNDING)


def test_without_offsets_preconditioned_sketches_arrive_in_one_step() -> None:
    found = run(*sized(8, rounds=1), NO_OFFSETS, "submodel.sketch=preconditioned", rate(1.0))
    assert np.abs(found.x[0]).max() > 0.1
    assert np.abs(found.x[1]).max() < ROUNDING


def test_without_offsets_permutations_of_one_preconditioned_function_arrive_in_one_step() -> None:
    same = ("dataset.same_curvature=true", "dataset.preconditioned=true")
    found = run(*sized(8, rounds=1), NO_OFFSETS, *same, rate(1 / 8))
    assert found.problem.diagonals == pytest.approx(np.ones((8, 8)))
    assert np.abs(found.x[0]).max() > 0.1
    assert np.abs(found.x[1]).max() < ROUNDING


@pytest.mark.parametrize("gamma", [0.1, 0.3, 0.6])
def test_theorem_2_bounds_preconditioned_sketches(gamma: float) -> None:
    found = runs(*sized(CLIENTS, rounds=30), "submodel.sketch=preconditioned", rate(gamma), seeds=SEEDS)
    first = found[0].problem
    theory = enumerated(first, "preconditioned", 1.0)
    variance = float(np.trace(first.curvature @ theory.scatter))
    bias = 2 * float(first.gap(theory.mean))
    gap, rounds = mean_gap(found), np.arange(1, len(found[0].x))
    gradients = so_far(mean_squares(found, np.linalg.inv(first.curvature)))
    largest = (1 - gamma) / (1 + gamma) / 2  # of beta: where gamma is all that it may be
    for beta in (largest, largest / 2):
        slack = (2 * (1 - gamma) / beta + gamma) * bias + gamma * variance
        assert (gradients <= 2 * (gap[0] - gap[1:]) / (gamma * rounds) + slack).all()
