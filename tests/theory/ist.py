"""Runs of sketched coordinates that several tests look at."""

from __future__ import annotations

from functools import cache

from tests.theory.quadratics import Problem, Run, parts_of, problem_of, run
from tests.theory.recursions import Enumerated, OneOwner, enumerated, one_owner

CLIENTS = 5
BURN_IN = 100  # versions until the start is forgotten


def sized(clients: int, dimension: int | None = None, rounds: int = 300) -> tuple[str, ...]:
    """Overrides for so many clients and coordinates (as many where absent)."""
    return (
        f"dataset.clients={clients}",
        f"dataset.dimension={dimension or clients}",
        f"fleet[0].count={clients}",
        f"coordination.clients_per_round={clients}",
        f"stop.rounds={rounds}",
    )


def rate(gamma: float) -> str:
    """Override of the learning rate."""
    return f"training.learning_rate={float(gamma)!r}"


def problem(*overrides: str) -> Problem:
    """The problem of these overrides, in the order of the devices of seed 1."""
    return problem_of(parts_of(*overrides))


def stable(sketch: str, share: float, found: Problem) -> float:
    """gamma: the share itself where preconditioned, else of 1 / (n max D): no coordinate oscillates."""
    return share if sketch == "preconditioned" else share / float(len(found.offsets) * found.diagonals.max())


@cache
def constant(sketch: str, share: float) -> tuple[Run, Enumerated]:
    """A run with a constant step size and one coordinate per client, and what theory says of it."""
    gamma = stable(sketch, share, problem(*sized(CLIENTS)))
    found = run(*sized(CLIENTS), f"submodel.sketch={sketch}", rate(gamma))
    return found, enumerated(found.problem, sketch, gamma)


@cache
def fifty(sketch: str, share: float) -> tuple[Run, OneOwner]:
    """The same with 50 clients in 50 dimensions."""
    sizes = sized(50)
    gamma = stable(sketch, share, problem(*sizes))
    found = run(*sizes, f"submodel.sketch={sketch}", rate(gamma))
    return found, one_owner(found.problem, sketch, gamma)
