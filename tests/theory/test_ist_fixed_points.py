"""Where sketched coordinates go on average: R1 and P9 (arXiv 2306.16484, section 4; algorithms 3.5).

With offsets b_i the mean iterate settles at E[Bbar]^-1 E[Cb], which is not the optimum Lbar^-1 bbar.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.theory.ist import BURN_IN, CLIENTS, constant, fifty, problem, rate, sized, stable
from tests.theory.quadratics import Problem, run
from tests.theory.recursions import (
    average_is_that_of,
    distance_of_average,
    enumerated,
    one_owner,
)

SHARES = [0.05, 0.2, 0.5, 1.0]
FAR = 1e3  # squared standard errors


@pytest.mark.parametrize("share", SHARES)
def test_the_mean_of_preconditioned_sketches_goes_to_the_mean_scaled_offset_over_root_n(share: float) -> None:
    found, theory = constant("preconditioned", share)
    scaled = found.problem.offsets / np.sqrt(found.problem.diagonals)
    assert theory.mean == pytest.approx(scaled.mean(0) / np.sqrt(CLIENTS), rel=1e-12)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    assert distance_of_average(theory, found.x[BURN_IN:], found.problem.optimum) > FAR


@pytest.mark.parametrize("share", SHARES)
def test_the_mean_of_permutation_sketches_goes_to_the_mean_offset_over_n_times_the_mean_diagonal(
    share: float,
) -> None:
    found, theory = constant("permutation", share)
    n, diagonal = CLIENTS, np.diag(found.problem.curvature)
    assert theory.mean == pytest.approx(found.problem.offset / (n * diagonal), rel=1e-12)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    assert distance_of_average(theory, found.x[BURN_IN:], found.problem.optimum) > FAR


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("sketch", ["preconditioned", "permutation"])
def test_so_does_the_mean_of_fifty_clients_in_fifty_dimensions(sketch: str, share: float) -> None:
    found, theory = fifty(sketch, share)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    assert distance_of_average(theory, found.x[BURN_IN:], found.problem.optimum) > FAR


def mean_curvature(found: Problem, owned: int) -> np.ndarray:
    """E[Bbar] = n [(1 - rho) Dbar + rho Lbar]; rho = (q - 1) / (d - 1) of pairs share an owner."""
    n, d = found.offsets.shape
    rho = (owned - 1) / (d - 1)
    return np.asarray(
        n * ((1 - rho) * np.diag(np.diag(found.curvature)) + rho * found.curvature), dtype=np.float64
    )


@pytest.mark.parametrize(("clients", "owned"), [(3, 2), (2, 3)])
def test_with_several_coordinates_per_client_the_limit_lies_between_diagonal_and_whole_curvature(
    clients: int, owned: int
) -> None:
    sizes = sized(clients, clients * owned)
    gamma = stable("permutation", 0.3, problem(*sizes))
    found = run(*sizes, rate(gamma))
    theory = enumerated(found.problem, "permutation", gamma)
    limit = np.linalg.solve(mean_curvature(found.problem, owned), found.problem.offset)
    assert theory.mean == pytest.approx(limit, rel=1e-9)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    assert distance_of_average(theory, found.x[BURN_IN:], found.problem.optimum) > FAR


@pytest.mark.parametrize("sketch", ["preconditioned", "permutation"])
def test_every_step_of_a_run_is_that_of_one_permutation_and_all_permutations_are_equally_likely(
    sketch: str,
) -> None:
    found, theory = constant(sketch, 0.5)
    times = np.bincount(theory.cases(found.x[:101]), minlength=len(theory.u))
    # Of 120 permutations in 100 rounds; in the limit chi-squared, here with the variance of so few rounds.
    expected = 100 / len(times)
    excess = ((times - expected) ** 2 / expected).sum() - (len(times) - 1)
    assert abs(excess) < 4 * np.sqrt(2 * (len(times) - 1) * (1 - 1 / 100))


@pytest.mark.parametrize("sketch", ["permutation", "preconditioned"])
@pytest.mark.parametrize(("clients", "dimension"), [(4, 4), (3, 6), (3, 7)])
def test_in_every_round_each_coordinate_is_trained_exactly_once(
    sketch: str, clients: int, dimension: int
) -> None:
    rounds = 25
    found = run(*sized(clients, dimension, rounds), f"submodel.sketch={sketch}", rate(0.01))
    coverage = found.outcome.tables["coverage"]
    assert coverage["elements"] == [dimension]
    assert coverage["least_times"] == coverage["most_times"] == [rounds]


def test_a_client_that_sees_n_times_its_coordinates_settles_at_an_nth_of_one_that_sees_them_as_they_are() -> (
    None
):
    # All clients have the same function, so that nothing is left to chance: b / (n D) and b / D.
    same = (*sized(CLIENTS, rounds=200), "dataset.heterogeneity=0")
    found = problem(*same)
    step = 0.5 / found.diagonals.max()
    sketched = run(*same, rate(step / CLIENTS))
    masked = run(
        *same,
        f"submodel={{name: rolling_mask, density: {1 / CLIENTS!r}, scaler: false}}",
        "aggregation=covered",
        rate(step),
    )
    alone = found.offset / np.diag(found.curvature)
    assert masked.x[-1] == pytest.approx(alone, rel=1e-6)
    assert sketched.x[-1] == pytest.approx(alone / CLIENTS, rel=1e-6)


def test_one_owner_formulas_are_those_of_all_permutations() -> None:
    found = problem(*sized(5))
    for sketch in ("permutation", "preconditioned"):
        gamma = stable(sketch, 0.7, found)
        pairwise, listed = one_owner(found, sketch, gamma), enumerated(found, sketch, gamma)
        for name in ("mean_u", "mean", "covariance", "scatter"):
            assert getattr(pairwise, name) == pytest.approx(getattr(listed, name), rel=1e-9, abs=1e-14)
