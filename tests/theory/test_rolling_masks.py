"""Rolling masks against random ones on heterogeneous quadratics (arXiv 2511.06132).

The coordinates of each client are dealt to R blocks once; in every epoch of R rounds it trains each block in
one round, in a fresh order (algorithms 3.4). All that is random is the order: the iterates at the ends of
epochs scatter far less than with random masks of the same density 1/R. Where they settle is another matter,
which the partitions decide; the methods are not ordered by that.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from edgesim.parts import Parts
from edgesim.submodels._submodel import Context
from tests.theory.averages import batch_means
from tests.theory.masks import Masks, epochs, rolling_point, settling_point
from tests.theory.quadratics import Floats, Run, parts_of, problem_of, run_parts
from tests.theory.recursions import average_is_that_of

BLOCKS, CLIENTS, DIMENSION = 4, 2, 8
RATE = 0.16  # times the largest eigenvalue of the problem that is not quite 0.5
SETTLED = 400


def prepared(submodel: str, *overrides: str, clients: int = CLIENTS, rate: float = RATE) -> Parts:
    return parts_of(
        f"submodel={{name: {submodel}, density: {1 / BLOCKS}, scaler: false}}",
        f"dataset={{name: quadratic, clients: {clients}, dimension: {DIMENSION}, ridge: 0.5}}",
        f"fleet[0].count={clients}",
        f"coordination.clients_per_round={clients}",
        f"training.learning_rate={rate}",
        *overrides,
    )


@cache
def rolled(rate: float) -> tuple[Run, Floats]:
    """A run, and the blocks of its clients."""
    parts = prepared("rolling_mask", f"stop.rounds={SETTLED + round(120 / rate)}", rate=rate)
    return run_parts(parts), partitions(parts)


def partitions(parts: Parts) -> Floats:
    """The blocks that each device trains in its first epoch [n, R, d]: those of its partition."""
    books = parts.ledger
    blocks = np.zeros((len(books.samples), BLOCKS, DIMENSION))
    for device, visit in np.ndindex(*blocks.shape[:2]):
        context = Context(device, visit, visit, 1 / BLOCKS, streams=books.streams)
        mask = books.strategy.assign({}, books.structure, context).mask
        assert mask is not None
        blocks[device, visit] = np.concatenate([held.ravel() for held in mask.tensors.values()])
    return blocks


def ends(ran: Run) -> Floats:
    """The versions at the ends of epochs, once the start is forgotten."""
    return ran.x[SETTLED::BLOCKS]


def test_each_coordinate_of_each_client_is_trained_once_per_epoch() -> None:
    ran = run_parts(prepared("rolling_mask", "stop.rounds=80"))
    coverage = ran.outcome.tables["coverage"]
    assert coverage["least_times"] == coverage["most_times"] == [CLIENTS * 80 / BLOCKS]


def test_the_coordinates_that_one_client_moves_in_an_epoch_scatter_with_random_masks_only() -> None:
    """Updates per coordinate and epoch: 1 rolling, variance 0; R p = 1 at random, variance R p (1 - p)."""
    found = {}
    for submodel in ("rolling_mask", "random_mask"):
        ran = run_parts(prepared(submodel, "stop.rounds=800", clients=1, rate=1e-3))
        moved = np.diff(ran.x, axis=0) != 0
        found[submodel] = moved.reshape(-1, BLOCKS, DIMENSION).sum(1)
    assert (found["rolling_mask"] == 1).all()
    random = found["random_mask"]
    assert random.mean() == pytest.approx(1, abs=4 * random.std() / np.sqrt(random.size))
    squares = (random - 1.0) ** 2
    assert squares.mean() == pytest.approx(1 - 1 / BLOCKS, abs=4 * squares.std() / np.sqrt(squares.size))


@pytest.mark.parametrize("rate", [RATE, RATE / 2])
def test_ends_of_epochs_settle_where_all_orders_of_the_blocks_say(rate: float) -> None:
    ran, blocks = rolled(rate)
    law = epochs(ran.problem, blocks, rate)
    assert average_is_that_of(law, ends(ran))
    square, error = batch_means(((ends(ran) - law.mean) ** 2).sum(1))
    assert abs(square - np.trace(law.covariance)) < 4 * error
    assert error < 0.15 * square


def test_small_steps_settle_where_the_mean_over_the_own_partitions_says() -> None:
    """The distance to that point shrinks with the step."""
    closed, found = [], []
    for rate in (RATE, RATE / 2):
        ran, blocks = rolled(rate)
        point = rolling_point(ran.problem, blocks)
        closed.append(float(np.linalg.norm(epochs(ran.problem, blocks, rate).mean - point)))
        found.append(float(np.linalg.norm(ends(ran).mean(0) - point)))
    assert closed[0] / closed[1] == pytest.approx(2, rel=0.1)
    assert found[0] / found[1] == pytest.approx(2, rel=0.4)
    assert found[1] < 0.1 * np.linalg.norm(ran.problem.optimum - point)


def scatter_of_random_masks(ran: Run, rate: float) -> float:
    return float(np.trace(Masks(ran.problem, (1 / BLOCKS,) * CLIENTS, rate).covariance))


def test_ends_of_epochs_scatter_less_than_random_masks_by_a_factor_that_grows_as_steps_shrink() -> None:
    """It is more than 20, and four times as much for half the step."""
    closed, found = [], []
    for rate in (RATE, RATE / 2):
        ran, blocks = rolled(rate)
        assert rate * np.linalg.eigvalsh(ran.problem.curvature).max() <= 0.5
        random = scatter_of_random_masks(ran, rate)
        closed.append(random / np.trace(epochs(ran.problem, blocks, rate).covariance))
        found.append(random / ends(ran).var(0).sum())
    assert min(*closed, *found) > 20
    assert closed[1] / closed[0] == pytest.approx(4, rel=0.1)
    assert found[1] / found[0] == pytest.approx(4, rel=0.5)


def test_within_epochs_rolling_masks_scatter_more_than_at_their_ends() -> None:
    """Counting every round the factor is smaller, and grows like one over the step only."""
    ratios = []
    for rate in (RATE, RATE / 2):
        ran, _ = rolled(rate)
        ratios.append(scatter_of_random_masks(ran, rate) / ran.x[SETTLED:].var(0).sum())
    assert 3 < ratios[0] < 20
    assert ratios[1] / ratios[0] == pytest.approx(2, rel=0.35)


def test_random_masks_scatter_in_a_run_as_their_law_says() -> None:
    ran = run_parts(prepared("random_mask", "stop.rounds=1600"))
    law = Masks(ran.problem, (1 / BLOCKS,) * CLIENTS, RATE)
    settled = ran.x[SETTLED:]
    assert average_is_that_of(law, settled)
    square, error = batch_means(((settled - law.mean) ** 2).sum(1))
    assert abs(square - np.trace(law.covariance)) < 4 * error


def test_which_of_the_two_settles_nearer_the_optimum_depends_on_the_problem() -> None:
    nearer = set()
    for instance in range(12):
        parts = prepared("rolling_mask", f"dataset.instance={instance}")
        problem = problem_of(parts)
        rolling = problem.gap(rolling_point(problem, partitions(parts)))
        nearer.add(bool(rolling < problem.gap(settling_point(problem, (1 / BLOCKS,) * CLIENTS))))
    assert nearer == {True, False}
