"""What the theory of independent subnet training leaves open, tried on whole runs (arXiv 2306.16484).

Several local steps, falling step sizes, sketched gradients instead of sketched models, growing n = d, and a
logistic loss. Where there is a closed form, it follows from `tests.theory.recursions`.
"""

from __future__ import annotations

import numpy as np
import pytest

from edgesim.datasets.quadratic import Quadratic
from edgesim.experiment import execute
from tests.theory.ist import BURN_IN, CLIENTS, problem, rate, sized
from tests.theory.quadratics import Problem, Run, parts_of, run
from tests.theory.recursions import (
    average_is_that_of,
    distance_of_average,
    enumerated,
    local_steps,
    one_owner,
)

FROM_THE_FIRST = "training.schedule={name: inverse, versions: 1}"
GRADIENTS = ("submodel.of=gradient", "dataset.ridge=2")


def local_rate(found: Problem, share: float) -> float:
    """A share of what brings the steepest coordinate to its client's minimum in one local step."""
    return share / float(len(found.offsets) ** 2 * found.diagonals.max())


@pytest.mark.parametrize("steps", [2, 10])
@pytest.mark.parametrize("verbatim", [False, True], ids=["averaged steps", "averaged models"])
def test_several_local_steps_move_the_limit_towards_the_mean_of_the_clients_own_minima(
    steps: int, verbatim: bool
) -> None:
    learning_rate = local_rate(problem(*sized(CLIENTS)), 0.3)
    settings = (*sized(CLIENTS, rounds=220), f"training.steps={steps}", rate(learning_rate))
    found = run(*settings, *(["aggregation=covered"] if verbatim else []))
    theory = local_steps(found.problem, learning_rate, steps, verbatim=verbatim)
    assert average_is_that_of(theory, found.x[BURN_IN:])
    assert distance_of_average(theory, found.x[BURN_IN:], found.problem.optimum) > 100


def test_both_ways_to_average_have_the_same_limit_between_those_of_one_and_of_very_many_steps() -> None:
    found = problem(*sized(CLIENTS))
    learning_rate = local_rate(found, 0.3)
    one = found.offset / (CLIENTS * np.diag(found.curvature))
    many = (found.offsets / (CLIENTS * found.diagonals)).mean(0)
    behind = np.inf
    for steps in (1, 2, 5, 10, 100):
        averaged, verbatim = (
            local_steps(found, learning_rate, steps, verbatim=each).mean for each in (False, True)
        )
        assert averaged == pytest.approx(verbatim, rel=1e-9)
        left = np.abs(averaged - many).max()
        assert left < behind
        behind = left
        if steps == 1:
            assert averaged == pytest.approx(one, rel=1e-9)
    assert averaged == pytest.approx(many, rel=1e-3)


def test_local_steps_do_not_move_the_limit_of_preconditioned_sketches() -> None:
    learning_rate = 0.3 / CLIENTS
    found = run(
        *sized(CLIENTS, rounds=200), "submodel.sketch=preconditioned", "training.steps=5", rate(learning_rate)
    )
    one = one_owner(found.problem, "preconditioned", 1.0)
    moved = (1 - 0.7**5) / CLIENTS  # every client takes x_j so far towards b_ij / sqrt(n D_ij)
    theory = type(one)(moved * one.u, moved * one.v)
    assert theory.mean == pytest.approx(one.mean)
    assert average_is_that_of(theory, found.x[BURN_IN:])


def measured_bias(found: Run) -> tuple[float, float, float]:
    """Twice the gap of the last version, its expectation, and the standard deviation of that.

    With step sizes 1 / (1 + t) the last version is the mean of K independent Cb, and with h = x* - x_inf,
    z ~ N(0, Cov(Cb) / K) the doubled gap is |h - z|^2 in the norm of Lbar, of mean |h|^2 + tr(Lbar Cov) / K
    and its variance 4 h' Lbar Cov Lbar h / K + 2 tr((Lbar Cov)^2) / K^2.
    """
    problem, rounds = found.problem, len(found.x) - 1
    theory = one_owner(problem, "preconditioned", 1.0)
    moved = problem.curvature @ theory.covariance / rounds
    h = problem.optimum - theory.mean
    expected = float(h @ problem.curvature @ h + np.trace(moved))
    variance = 4 * h @ moved @ problem.curvature @ h + 2 * np.trace(moved @ moved)
    return 2 * float(found.gap[-1]), expected, float(np.sqrt(variance))


@pytest.mark.parametrize("clients", [5, 10, 20])
def test_falling_steps_take_the_noise_away_and_leave_the_bias_in_every_dimension(clients: int) -> None:
    bias_is_left(clients)


@pytest.mark.slow
def test_so_they_do_with_fifty_clients_in_fifty_dimensions() -> None:
    bias_is_left(50)


def bias_is_left(clients: int) -> None:
    found = run(*sized(clients, rounds=100), "submodel.sketch=preconditioned", rate(1.0), FROM_THE_FIRST)
    measured, expected, spread = measured_bias(found)
    assert abs(measured - expected) < 4 * spread
    assert measured > 4 * spread


def test_the_bias_takes_away_more_of_what_can_be_gained_the_more_clients_and_dimensions_there_are() -> None:
    """||h||^2 / 2 over f(0) - f(x*), median of problems: near 1, the limit is hardly better than 0."""
    for sketch in ("preconditioned", "permutation"):
        lost = [np.median([lost_share(sketch, size, number) for number in range(20)]) for size in (5, 10, 20)]
        assert lost == sorted(set(lost))
        assert 0 < lost[0] < lost[-1] < 1


def lost_share(sketch: str, size: int, instance: int) -> float:
    """For n = d clients, from the closed form of the limit."""
    data = Quadratic(clients=size, dimension=size, instance=instance).load(None, False)
    matrices = np.array([sample[:-1].T @ sample[:-1] for sample in data.train_x])
    found = Problem(matrices, data.train_x[:, -1])
    return float(found.gap(one_owner(found, sketch, 1.0).mean) / found.gap(np.zeros(size)))


def test_sketched_gradients_have_no_bias_and_falling_steps_take_all_their_noise_away() -> None:
    sizes = (*sized(CLIENTS), *GRADIENTS)
    gamma = 0.5 / np.linalg.norm(problem(*sizes).curvatures, 2, axis=(1, 2)).max()
    falling = "training.schedule={name: inverse, versions: 20}"
    found = run(*sizes, rate(gamma), falling)
    theory = enumerated(found.problem, "permutation", gamma, of="gradient")
    assert theory.mean == pytest.approx(found.problem.optimum, rel=1e-9)
    constant = np.trace(found.problem.curvature @ theory.covariance) / 2
    assert found.gap[-50:].mean() < constant / 4
    of_models = run(*sized(CLIENTS), "dataset.ridge=2", rate(gamma / CLIENTS), falling)
    limit = one_owner(of_models.problem, "permutation", 1.0).mean
    assert of_models.gap[-50:].mean() == pytest.approx(float(of_models.problem.gap(limit)), rel=0.1)
    assert of_models.gap[-50:].mean() > 4 * found.gap[-50:].mean()


LOGISTIC = """\
name: logistic
model: {name: mlp, hidden: []}
dataset: {name: digits, partition: iid}
fleet:
  - {profile: pixel-6, count: 5}
submodel: ist_sketch
coordination: {name: synchronous, clients_per_round: 5}
training: {steps: 1, batch_size: 300, learning_rate: 0.5, schedule: {name: inverse, versions: 100}}
evaluate: {every: 50 rounds, train: true}
stop: {rounds: 50}
"""


def test_with_a_logistic_loss_sketched_gradients_keep_up_and_sketched_models_do_not() -> None:
    """That these stand still, rather than being slow, is seen by `scenarios/theory/logistic.yaml`."""
    sketches = {
        "identity": "submodel.sketch=identity",
        "permutation": "submodel.sketch=permutation",
        "random": "submodel.sketch=random",
        "gradient": "submodel.of=gradient",
    }
    losses = {name: final_loss(chosen) for name, chosen in sketches.items()}
    assert losses["gradient"] == pytest.approx(losses["identity"], rel=0.05)
    assert min(losses["permutation"], losses["random"]) > 1.5 * losses["identity"]


def final_loss(override: str) -> float:
    """Training loss of the last version."""
    outcome = execute(parts_of(override, text=LOGISTIC))
    return float(outcome.tables["evaluations"]["train_loss"][-1])
