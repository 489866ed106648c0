"""Whole runs on made-up quadratics: the scenario, every version of the model, and the problem as numbers.

The runs are those of the simulator, as the command line makes them. The closed forms that tests compare them
with are worked out from the numbers of the problem alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.experiment import Outcome, federation, fold
from edgesim.parts import Parts, prepare
from edgesim.scenario import resolve
from edgesim.simulation.engine import Simulation
from tests.scenarios import document

Floats = NDArray[np.float64]

CLIENTS = 8

QUADRATIC = f"""\
name: theory
model: vector
dataset: {{name: quadratic, clients: {CLIENTS}, dimension: {CLIENTS}}}
fleet:
  - {{profile: pixel-6, count: {CLIENTS}}}
submodel: ist_sketch
coordination: {{name: synchronous, clients_per_round: {CLIENTS}}}
training: {{steps: 1, batch_size: 100, learning_rate: 0.1}}
evaluate: {{every: 1000000 rounds}}
stop: {{rounds: 200}}
execution: {{precision: float64}}
"""
"""Exact gradients of all clients in every round; to be changed by overrides."""


@dataclass(frozen=True)
class Problem:
    """f, the mean over the clients of f_i(x) = 1/2 x'L_i x - b_i'x, in the order of the devices.

    Attributes:
        curvatures: L_i [n, d, d].
        offsets: b_i [n, d].
    """

    curvatures: Floats
    offsets: Floats

    @cached_property
    def curvature(self) -> Floats:
        """Lbar [d, d]."""
        return np.asarray(self.curvatures.mean(0))

    @cached_property
    def offset(self) -> Floats:
        """bbar [d]."""
        return np.asarray(self.offsets.mean(0))

    @cached_property
    def diagonals(self) -> Floats:
        """The diagonals of the D_i [n, d]."""
        return np.asarray(np.einsum("ijj->ij", self.curvatures))

    @cached_property
    def optimum(self) -> Floats:
        """x* [d]."""
        return np.asarray(np.linalg.solve(self.curvature, self.offset), dtype=np.float64)

    def gradient(self, x: Floats) -> Floats:
        """Gradients of f [..., d] at x [..., d]."""
        return np.asarray(x @ self.curvature - self.offset)

    def gap(self, x: Floats) -> Floats:
        """f less its minimum [...] at x [..., d]: 1/2 ||x - x*||^2 in the norm of Lbar."""
        return np.asarray(self.square(x - self.optimum, self.curvature) / 2)

    @staticmethod
    def square(x: Floats, matrix: Floats) -> Floats:
        """x'M x [...] of x [..., d] and M [d, d]."""
        return np.asarray(np.einsum("...i,ij,...j->...", x, matrix, x))


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        x: of each version, [rounds + 1, d]; the first row is the start.
        problem: what was minimised.
        outcome: with the tables.
    """

    x: Floats
    problem: Problem
    outcome: Outcome

    @property
    def gap(self) -> Floats:
        """f less its minimum, of each version [rounds + 1]."""
        return self.problem.gap(self.x)

    @property
    def distance(self) -> Floats:
        """2-norm of x - x*, of each version [rounds + 1]."""
        return np.asarray(np.linalg.norm(self.x - self.problem.optimum, axis=1), dtype=np.float64)


def run(*overrides: str, text: str = QUADRATIC, variant: str | None = None, seed: int = 1) -> Run:
    """Run a scenario to its end.

    Args:
        overrides: `key.path=value`, as of `--set`.
        text: of the scenario.
        variant: of it; null for the scenario itself.
        seed: of start, sketches, batches and time.
    """
    return run_parts(parts_of(*overrides, text=text, variant=variant, seed=seed))


def runs(*overrides: str, seeds: Sequence[int]) -> list[Run]:
    """The same with each of several seeds."""
    return [run(*overrides, seed=seed) for seed in seeds]


def parts_of(*overrides: str, text: str = QUADRATIC, variant: str | None = None, seed: int = 1) -> Parts:
    """What a run is made of; arguments as of `run`."""
    return prepare(resolve(document(text), variant, overrides, seed))


def run_parts(parts: Parts) -> Run:
    """Run these parts, and keep every version."""
    learner = federation(parts)
    seen = _Versions(learner)
    outcome = fold(parts, learner, seen)
    seen.look()
    return Run(np.array(seen.x), problem_of(parts), outcome)


def problem_of(parts: Parts) -> Problem:
    """The problem, in the order of the devices."""
    samples = parts.data.train_x.astype(np.float64)
    held = [samples[parts.pool[shard]] for shard in parts.shards]
    curvatures = [np.mean([sample[:-1].T @ sample[:-1] for sample in own], 0) for own in held]
    return Problem(np.array(curvatures), np.array([own[:, -1].mean(0) for own in held]))


@dataclass
class _Versions:
    """Told of every event, notes each version once: aggregations make a new dictionary of weights."""

    learner: Any
    x: list[Floats] = field(default_factory=list)
    _seen: Any = None

    def __call__(self, _simulation: Simulation) -> None:
        self.look()

    def look(self) -> None:
        if self.learner.weights is not self._seen:
            self._seen = self.learner.weights
            self.x.append(np.concatenate([value.flatten().numpy() for value in self._seen.values()]))
