"""How far sketched coordinates scatter: R2, and second moments where the paper has only means.

The derivation is in `tests.theory.recursions`. For preconditioned sketches Bbar = I in every round, so that

    x+ = (1 - gamma) x + gamma Cb          S = gamma / (2 - gamma) Cov(Cb)
    Cov(Cb) = (n diag(V) - V) / (n (n - 1))          V: covariance of D_i^-1/2 b_i among the clients
    E[f(x)] - f(x*) = (||x* - m||^2 + tr(Lbar S)) / 2          norm in Lbar: bias and noise
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.theory.ist import BURN_IN, CLIENTS, constant, fifty, problem, rate, sized, stable
from tests.theory.quadratics import Run, run
from tests.theory.recursions import Enumerated, Recursion, average_is_that_of, enumerated

SHARES = [0.05, 0.2, 0.5, 1.0]
EACH = "evaluate.every=1 round"


def floor(found: Run, theory: Recursion) -> float:
    """The stationary mean of f less its minimum."""
    noise = float(np.trace(found.problem.curvature @ theory.covariance))
    return float(found.problem.gap(theory.mean)) + noise / 2


def floor_error(found: Run, theory: Recursion, rounds: int) -> float:
    """Standard deviation of the mean gap over stationary rounds, with y = x - m taken for normal.

    The gap is |h - y|^2 / 2 in the norm of Lbar. Its part -h'Lbar y averages as x does; |y|^2 / 2 has the
    variance tr((Lbar S)^2) / 2, and forgets at least twice as fast as the slowest coordinate.
    """
    curvature = found.problem.curvature
    pull = np.linalg.solve(theory.mean_u.T, curvature @ (found.problem.optimum - theory.mean))
    kept = float(1 - np.linalg.eigvals(theory.mean_u).real.min()) ** 2
    noise = curvature @ theory.covariance
    square = np.trace(noise @ noise) / 2 * (1 + kept) / (1 - kept)
    return float(np.sqrt((pull @ theory.scatter @ pull + square) / rounds))


def scatter_is_that_of(theory: Enumerated, x: np.ndarray) -> None:
    """The mean square distance to m is the trace of S, within four standard deviations of such a mean."""
    square, expected = float(((x - theory.mean) ** 2).sum(1).mean()), float(np.trace(theory.covariance))
    spread = theory.spread(len(x))
    assert spread < expected / 4
    assert abs(square - expected) < 4 * spread


@pytest.mark.parametrize("gamma", SHARES)
def test_preconditioned_sketches_scatter_by_gamma_over_two_minus_gamma_of_the_offsets(gamma: float) -> None:
    found, theory = constant("preconditioned", gamma)
    n, scaled = CLIENTS, found.problem.offsets / np.sqrt(found.problem.diagonals)
    among = np.cov(scaled.T, bias=True)
    drawn = (n * np.diag(np.diag(among)) - among) / (n * (n - 1))
    assert theory.covariance == pytest.approx(gamma / (2 - gamma) * drawn, rel=1e-9)
    if gamma > 0.1:  # below, the rounds are too much alike
        scatter_is_that_of(theory, found.x[BURN_IN:])


@pytest.mark.parametrize("share", SHARES[1:])
def test_permutation_sketches_scatter_as_the_linear_equation_says(share: float) -> None:
    found, theory = constant("permutation", share)
    scatter_is_that_of(theory, found.x[BURN_IN:])


def test_so_do_several_coordinates_per_client() -> None:
    sizes = sized(3, 6)
    gamma = stable("permutation", 0.5, problem(*sizes))
    found = run(*sizes, rate(gamma))
    scatter_is_that_of(enumerated(found.problem, "permutation", gamma), found.x[BURN_IN:])


def test_sketched_gradients_scatter_likewise_about_the_optimum_itself() -> None:
    sizes = (*sized(4), "dataset.ridge=2")
    gamma = 0.3 / np.linalg.norm(problem(*sizes).curvatures, 2, axis=(1, 2)).max()
    found = run(*sizes, "submodel.of=gradient", rate(gamma))
    theory = enumerated(found.problem, "permutation", gamma, of="gradient")
    assert len(theory.cases(found.x)) == 300
    assert theory.mean == pytest.approx(found.problem.optimum, rel=1e-9)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    scatter_is_that_of(theory, found.x[BURN_IN:])


@pytest.mark.parametrize("sketch", ["preconditioned", "permutation"])
def test_larger_steps_end_higher(sketch: str) -> None:
    found = [constant(sketch, share) for share in SHARES]
    floors = [floor(*each) for each in found]
    assert floors == sorted(set(floors))
    for (each, theory), expected in zip(found, floors, strict=True):
        late = each.gap[BURN_IN:]
        assert abs(late.mean() - expected) < 4 * floor_error(each, theory, len(late))


@pytest.mark.parametrize("sketch", ["preconditioned", "permutation"])
def test_larger_steps_reach_what_all_of_them_can_reach_in_fewer_rounds(sketch: str) -> None:
    far, reachable = [100.0] * CLIENTS, 2 * floor(*constant(sketch, SHARES[-1]))
    arrivals = []
    for share in SHARES:
        gamma = stable(sketch, share, problem(*sized(CLIENTS)))
        goal = f"stop.target={{gap: {reachable!r}}}"
        found = run(
            *sized(CLIENTS), f"dataset.start={far}", f"submodel.sketch={sketch}", rate(gamma), EACH, goal
        )
        assert found.outcome.reason == "target"
        arrivals.append(len(found.x))
    assert arrivals == sorted(set(arrivals), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("sketch", ["preconditioned", "permutation"])
def test_with_fifty_clients_in_fifty_dimensions_floors_are_as_strictly_ordered(sketch: str) -> None:
    found = [fifty(sketch, share) for share in SHARES]
    floors = [floor(*each) for each in found]
    measured = [float(each.gap[200:].mean()) for each, _ in found]
    assert floors == sorted(set(floors))
    assert measured == sorted(set(measured))
    for (each, theory), mean, expected in zip(found, measured, floors, strict=True):
        assert abs(mean - expected) < 4 * floor_error(each, theory, 100)
