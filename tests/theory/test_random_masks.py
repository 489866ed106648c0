"""Random masks on heterogeneous quadratics: where training settles, and how widely (arXiv 2511.06132).

A client draws the coordinates that it holds independently of each other, with chance p_i, takes one step with
them, and the server fills up and averages (algorithms 3.4). The iterates are those of whole runs; the closed
forms are worked out from the numbers of the problem alone (see `masks`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import chi2

from tests.theory.averages import batch_means
from tests.theory.masks import Masks, masked_objective, settling_point
from tests.theory.quadratics import Floats, Run, run
from tests.theory.recursions import UNLIKELY, average_is_that_of, distance_of_average

CLIENTS = DIMENSION = 4
SETTLED = 100  # rounds after which the start is forgotten
LOW, UNEQUAL, RAISED = (0.25,) * CLIENTS, (0.2, 0.4, 0.6, 1.0), (1.0, 0.25, 0.25, 0.25)
COMMON = [(density,) * CLIENTS for density in (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)]
SETTINGS = [*COMMON, UNEQUAL]
LONG = (COMMON[0], LOW, UNEQUAL)


@cache
def masked(densities: tuple[float, ...], diagonal: bool = False) -> Run:
    """A run in which the i-th device has the i-th density; longer where its scatter is measured."""
    devices = ", ".join(f"{{profile: pixel-6, count: 1, capacity: {density}}}" for density in densities)
    return run(
        f"fleet=[{devices}]",
        f"dataset={{name: quadratic, clients: {CLIENTS}, dimension: {DIMENSION}, instance: 38, ridge: 0.3}}",
        f"dataset.diagonal={str(diagonal).lower()}",
        f"coordination.clients_per_round={CLIENTS}",
        "submodel={name: random_mask, scaler: false}",
        f"training.learning_rate={rate(densities)}",
        f"stop.rounds={1300 if densities in LONG and not diagonal else 350}",
    )


def rate(densities: tuple[float, ...]) -> float:
    """Of learning: F_p is curved about as much as the densities are large, yet single steps are not small."""
    return min(1.0, 0.4 / float(np.mean(densities)))


def settled(ran: Run) -> Floats:
    return ran.x[SETTLED:]


def expected(ran: Run, densities: tuple[float, ...]) -> Masks:
    return Masks(ran.problem, densities, rate(densities))


@pytest.mark.parametrize("densities", SETTINGS, ids=str)
def test_the_mean_step_goes_down_the_masked_objective(densities: tuple[float, ...]) -> None:
    ran = masked(densities)
    hessian, offset = masked_objective(ran.problem, densities)
    steps = np.diff(ran.x, axis=0) / rate(densities)
    noise = steps + (ran.x[:-1] @ hessian - offset)  # has the mean 0 in each round, whatever was before
    error = noise.std(0) / np.sqrt(len(noise))
    assert (np.abs(noise.mean(0)) < 4 * error + 1e-12).all()


@pytest.mark.parametrize("densities", [*COMMON[:-1], UNEQUAL, RAISED], ids=str)
def test_training_settles_around_the_minimum_of_the_masked_objective(densities: tuple[float, ...]) -> None:
    ran = masked(densities)
    assert average_is_that_of(expected(ran, densities), settled(ran))


@pytest.mark.parametrize("densities", [*COMMON[:4], UNEQUAL, RAISED], ids=str)
def test_which_is_not_the_optimum(densities: tuple[float, ...]) -> None:
    ran = masked(densities)
    far = distance_of_average(expected(ran, densities), settled(ran), ran.problem.optimum)
    assert far > chi2.isf(UNLIKELY, DIMENSION)


def test_where_everything_is_held_it_is() -> None:
    assert masked(COMMON[-1]).distance[-1] == pytest.approx(0, abs=1e-12)


def test_with_a_common_density_it_solves_p_abar_and_the_rest_dbar() -> None:
    problem = masked(LOW).problem
    diagonal = np.diag(problem.diagonals.mean(0))
    solved = np.linalg.solve(0.25 * problem.curvature + 0.75 * diagonal, problem.offset)
    assert settling_point(problem, LOW) == pytest.approx(solved)


@pytest.mark.parametrize("densities", [LOW, UNEQUAL], ids=str)
def test_how_widely_training_scatters_is_known_too(densities: tuple[float, ...]) -> None:
    ran = masked(densities)
    law = expected(ran, densities)
    square, error = batch_means(((settled(ran) - law.mean) ** 2).sum(1))
    assert abs(square - np.trace(law.covariance)) < 4 * error
    assert error < 0.08 * square


def test_larger_common_densities_settle_nearer_the_optimum() -> None:
    problem = masked(LOW).problem
    closed = [problem.gap(settling_point(problem, densities)) for densities in COMMON]
    found = [problem.gap(settled(masked(densities)).mean(0)) for densities in COMMON[1:]]
    assert (np.diff(closed) < 0).all()
    assert (np.diff(found) < 0).all()


def test_diagonal_curvatures_leave_no_residual_at_a_common_density() -> None:
    ran = masked(LOW, diagonal=True)
    assert average_is_that_of(expected(ran, LOW), settled(ran))
    for densities in COMMON:
        assert settling_point(ran.problem, densities) == pytest.approx(ran.problem.optimum)


def test_raising_the_density_of_one_client_alone_can_raise_the_gap() -> None:
    """It counts for more than the others then, as the others leave out more often."""
    problem = masked(LOW).problem
    low, raised = (problem.gap(settling_point(problem, densities)) for densities in (LOW, RAISED))
    found_low, found_raised = (problem.gap(settled(masked(each)).mean(0)) for each in (LOW, RAISED))
    assert raised > 4 * low
    assert found_raised > 3 * found_low


@pytest.mark.parametrize("densities", [*COMMON[:-1], UNEQUAL], ids=str)
def test_the_gap_is_below_the_residual_of_the_paper(densities: tuple[float, ...]) -> None:
    """Theorem 1: (5L/2mu + 4/L) (2G^2 + 2W^2 L^2)/n sum over i of d (1 - p_i), with G and W of the run."""
    ran = masked(densities)
    problem = ran.problem
    smooth = np.linalg.eigvalsh(problem.curvatures).max()
    convex = np.linalg.eigvalsh(problem.curvature).min()
    gradients = np.einsum("nij,tj->tni", problem.curvatures, ran.x) - problem.offsets
    largest, radius = np.linalg.norm(gradients, axis=2).max(), np.linalg.norm(ran.x, axis=1).max()
    lacking = DIMENSION * (1 - np.array(densities)).sum() / CLIENTS
    bound = (5 * smooth / (2 * convex) + 4 / smooth) * (2 * largest**2 + 2 * (radius * smooth) ** 2) * lacking
    assert ran.gap[SETTLED:].mean() < bound


def test_the_scaler_of_networks_has_no_hidden_activations_to_scale_here() -> None:
    with_it, without = (
        run(f"submodel={{name: random_mask, density: 0.25, scaler: {scaler}}}", "stop.rounds=5").x
        for scaler in ("true", "false")
    )
    assert np.array_equal(with_it, without)
