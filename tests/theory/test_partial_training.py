"""FedPMT on heterogeneous quadratics f_i(w) = 1/2 w'A_i w - b_i'w (arXiv 2311.10002; algorithms 3.2).

Device i trains its last layers only, and a layer is averaged over those who train it. With one step of the
whole gradient per round training settles where M w = v, the rows of a layer being the means of those of A_i
and b_i over those devices. M is not symmetric. With noise of covariance Q in the averaged gradient and steps
eta, the covariance S of the versions solves M S + S M' - eta M S M' = eta Q.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from tests.theory.averages import batch_means
from tests.theory.quadratics import Floats, Problem, Run, parts_of, problem_of, run, run_parts

CLIENTS, DIMENSION = 3, 6
SUFFIXES, FULL = (3, 2, 1), (3, 3, 3)  # trained layers of each device, of three
RATE = 0.2
SAMPLES, NOISE = 8, 1.0
START = (2.0, -2.0, 2.0, -2.0, 2.0, -2.0)


def overrides(depths: tuple[int, ...], rate: float, rounds: int, **dataset: object) -> list[str]:
    devices = ", ".join(f"{{profile: pixel-6, count: 1, capacity: {depth}}}" for depth in depths)
    options = "".join(f", {name}: {value}" for name, value in dataset.items())
    return [
        f"fleet=[{devices}]",
        f"coordination.clients_per_round={len(depths)}",
        f"model={{name: vector, layers: {max(depths)}}}",
        "submodel=fedpmt",
        f"dataset={{name: quadratic{options}}}",
        f"training.learning_rate={rate}",
        f"stop.rounds={rounds}",
    ]


@cache
def exact(depths: tuple[int, ...], rate: float = RATE, heterogeneity: float = 1.0) -> Run:
    problem = {"clients": CLIENTS, "dimension": DIMENSION, "instance": 3, "ridge": 0.5}
    return run(*overrides(depths, rate, 300, heterogeneity=heterogeneity, **problem))


def mixed(problem: Problem, depths: tuple[int, ...]) -> tuple[Floats, Floats]:
    """M and v."""
    groups = np.array_split(np.arange(problem.offsets.shape[1]), max(depths))
    rows, offsets = [], []
    for layer, group in enumerate(groups):
        training = [device for device, depth in enumerate(depths) if depth >= len(groups) - layer]
        rows.append(problem.curvatures[training].mean(0)[group])
        offsets.append(problem.offsets[training].mean(0)[group])
    return np.concatenate(rows), np.concatenate(offsets)


def settling_point(problem: Problem, depths: tuple[int, ...]) -> Floats:
    return np.asarray(np.linalg.solve(*mixed(problem, depths)), np.float64)


@pytest.mark.parametrize("depths", [SUFFIXES, (3, 1, 1), (3, 3, 2), FULL])
def test_training_settles_where_the_rows_mixed_by_layer_say(depths: tuple[int, ...]) -> None:
    ran = exact(depths)
    assert ran.x[-1] == pytest.approx(settling_point(ran.problem, depths), abs=1e-9)


def test_identical_clients_reach_the_optimum_at_any_depth() -> None:
    assert exact(SUFFIXES, heterogeneity=0.0).distance[-1] < 1e-9


def test_different_clients_reach_it_when_all_train_all_layers() -> None:
    assert exact(FULL).distance[-1] < 1e-9


def test_otherwise_the_bias_stays_whatever_the_learning_rate() -> None:
    fast, slow = exact(SUFFIXES), exact(SUFFIXES, rate=RATE / 2)
    assert fast.x[-1] == pytest.approx(slow.x[-1], abs=1e-6)
    assert slow.distance[-1] > 0.5
    assert slow.gap[-1] > 0.1


def test_positive_definite_clients_can_drive_each_other_apart(tmp_path: Path) -> None:
    """M = [[1, 2], [1.95, 2.15]] has a negative determinant, and so an eigenvalue in the left half plane."""
    deep, shallow = [[1.0, 2.0], [2.0, 4.1]], [[20.0, 1.9], [1.9, 0.2]]
    np.savez(tmp_path / "problem.npz", A=np.array([deep, shallow]), b=np.ones((2, 2)))
    given = {"clients": "null", "dimension": "null", "file": tmp_path / "problem.npz"}
    asked = overrides((2, 1), 0.1, 200, **given)
    prepared = (parts_of(*asked, seed=seed) for seed in range(20))
    parts = next(parts for parts in prepared if np.allclose(problem_of(parts).curvatures[0], deep))
    ran = run_parts(parts)
    assert (np.linalg.eigvalsh(ran.problem.curvatures) > 0).all()
    growth = np.linalg.eigvals(mixed(ran.problem, (2, 1))[0]).min()
    assert growth < 0
    away = np.linalg.norm(ran.x - settling_point(ran.problem, (2, 1)), axis=1)
    assert away[-1] / away[-51] == pytest.approx((1 - 0.1 * growth) ** 50, rel=1e-6)


def noisy(rate: float, rounds: int, *more: str, seed: int = 1) -> tuple[Run, Floats]:
    """A run of gradients of one sample each, and the covariance Q of their average by layer."""
    problem = {"clients": CLIENTS, "dimension": DIMENSION, "instance": 3, "ridge": 0.5}
    noise = {"noise": NOISE, "samples": SAMPLES, "start": list(START)}
    asked = overrides(SUFFIXES, rate, rounds, **problem, **noise)
    parts = parts_of(*asked, "training.batch_size=1", *more, seed=seed)
    return run_parts(parts), noise_covariance(
        [parts.data.train_x[own][:, -1].astype(np.float64) for own in parts.shards]
    )


def noise_covariance(offsets: list[Floats]) -> Floats:
    """Q from the b of each client's samples [samples, d], one of which is drawn in each round."""
    layer = np.arange(DIMENSION) * 3 // DIMENSION
    trains = np.array([layer >= 3 - depth for depth in SUFFIXES])
    shares = trains / trains.sum(0)
    own = [np.cov(b, rowvar=False, bias=True) for b in offsets]
    return np.asarray(sum(np.outer(share, share) * each for share, each in zip(shares, own, strict=True)))


def test_noise_scatters_the_versions_as_a_lyapunov_equation_says() -> None:
    ran, noise = noisy(RATE, 2100)
    matrix, offset = mixed(ran.problem, SUFFIXES)
    covariance = solve_discrete_lyapunov(np.eye(DIMENSION) - RATE * matrix, RATE**2 * noise)
    sides = matrix @ covariance + covariance @ matrix.T - RATE * matrix @ covariance @ matrix.T
    assert sides == pytest.approx(RATE * noise)
    settled = ran.x[100:]
    square, error = batch_means(((settled - np.linalg.solve(matrix, offset)) ** 2).sum(1))
    assert abs(square - np.trace(covariance)) < 4 * error
    assert error < 0.1 * square


def test_with_steps_that_fall_like_one_over_t_the_squared_distance_does_too() -> None:
    """eta = c / (t + t0), c times the least eigenvalue of M above 1/2; the distance to where M w = v."""
    half, rounds = 20, 400
    rates = np.asarray(RATE * half / (half + np.arange(rounds)), np.float64)
    squares = []
    for seed in range(6):
        ran, noise = noisy(RATE, rounds, f"training.schedule={{name: inverse, versions: {half}}}", seed=seed)
        matrix, offset = mixed(ran.problem, SUFFIXES)
        assert RATE * half * np.linalg.eigvals(matrix).real.min() > 0.5
        point = np.asarray(np.linalg.solve(matrix, offset), np.float64)
        law = falling(matrix, noise, START - point, rates)
        squares.append((((ran.x - point) ** 2).sum(1), law))
    measured, expected = (np.array(each) for each in zip(*squares, strict=True))
    late = slice(rounds // 8, None)
    ratio = (measured / expected)[:, late].mean(1)
    assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std(ddof=1) / np.sqrt(len(ratio)))
    shifted = np.log(half + np.arange(rounds + 1))[late]
    for values, tolerance in ((expected, 0.1), (measured, 0.3)):
        slope = np.polyfit(shifted, np.log(values.mean(0)[late]), 1)[0]
        assert slope == pytest.approx(-1, abs=tolerance)


def falling(matrix: Floats, noise: Floats, start: Floats, rates: Floats) -> Floats:
    """E |w_t - w*|^2 of each version, from the first one's distance [d] and the learning rates [rounds]."""
    second, squares = np.outer(start, start), [float(start @ start)]
    for rate in rates:
        step = np.eye(len(start)) - rate * matrix
        second = step @ second @ step.T + rate**2 * noise
        squares.append(float(np.trace(second)))
    return np.array(squares)
