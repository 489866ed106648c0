"""The closed form that a run reports: the run itself where nothing is drawn, else the mean of many runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import yaml

import edgesim
from edgesim.closed_form import closed_form
from edgesim.experiment import execute
from edgesim.registry import component
from edgesim.submodels._submodel import Context, Submodel
from edgesim.submodels.full import Full
from edgesim.submodels.ist_sketch import IstSketch
from edgesim.submodels.random_mask import RandomMask
from tests.theory.ist import problem, rate, sized
from tests.theory.masks import masked_objective
from tests.theory.quadratics import QUADRATIC, Floats, Problem, parts_of, run_parts, runs
from tests.theory.recursions import enumerated

SHORT = (*sized(4, rounds=30), "evaluate.every=7 rounds", "dataset.start=[1.0, -2.0, 0.5, 3.0]")
FULL = (*SHORT, "submodel=full")
THREE_DEVICES = ("fleet[0].count=3", "coordination.clients_per_round=3", "dataset.partition=iid")

NOTHING_DRAWN = {
    "one step": FULL,
    "several steps": (*FULL, "training.steps=4"),
    "several epochs": (
        *FULL,
        "training={steps: null, epochs: 3, batch_size: 6}",
        "dataset={samples: 6, noise: 2}",
    ),
    "falling steps": (*FULL, "training.schedule={name: inverse, versions: 20}"),
    "several steps, less often": (
        *FULL,
        "training.steps=3",
        "training.schedule={name: milestones, at: [5, 20], decay: 0.5}",
    ),
    "devices with more functions than others": (*FULL, *THREE_DEVICES, "training.steps=2"),
    "groups of coordinates": (*FULL, "model={name: vector, layers: 3}"),
    "steps that are too large": (*FULL, "training.learning_rate=1000", "stop.rounds=200"),
    "identity": (*SHORT, "submodel.sketch=identity"),
    "the gradient alone": (*SHORT, "submodel={name: ist_sketch, sketch: identity, of: gradient}"),
    "preconditioned without offsets": (*SHORT, "submodel.sketch=preconditioned", "dataset.offset=0"),
    "all coordinates": (*SHORT, "submodel={name: random_mask, density: 1, scaler: false}"),
}

UNKNOWN = {
    "some of the clients": ("coordination.clients_per_round=3",),
    "updates as they come": (*FULL, "coordination={name: asynchronous, concurrency: 4}"),
    "devices that are away": ("fleet[0].availability={name: markov, on: 1 s, off: 1 s}",),
    "several steps with a sketch": ("training.steps=2",),
    "batches": ("dataset.samples=4", "dataset.noise=1", "training.batch_size=2"),
    "unequal blocks": ("dataset={clients: 3, dimension: 4}", *THREE_DEVICES),
    "momentum": ("training.momentum=0.5",),
    "weight decay": ("training.weight_decay=0.1",),
    "clipped gradients": ("training.clip_norm=1",),
    "a proximal term": ("training.proximal=0.1",),
    "Adam": ("training.optimizer=adam",),
    "rounded gradients": ("execution.precision=bfloat16",),
    "averages over holders": ("aggregation=covered",),
    "a server that goes half the way": (
        "aggregation={name: fill, server_optimizer: {name: sgd, learning_rate: 0.5}}",
    ),
    "a mask with a scaler": ("submodel={name: random_mask, density: 0.5}",),
    "masks that depend on those before": ("submodel={name: rolling_mask, density: 0.5, scaler: false}",),
}
"""What the closed form does not know, as changes of a run that it does know."""


@component
class Other(Full):
    """As a subclass may, it trains something else."""

    def assign(self, weights: Any, structure: Any, context: Context) -> Submodel:
        """Another label."""
        return replace(super().assign(weights, structure, context), label="other")


@pytest.mark.parametrize("kind", NOTHING_DRAWN)
def test_where_nothing_is_drawn_the_run_is_the_closed_form(kind: str) -> None:
    parts = parts_of(*NOTHING_DRAWN[kind])
    found = run_parts(parts)
    known = closed_form(parts, found.outcome)
    assert known is not None
    measured = found.outcome.tables["evaluations"]
    assert known["version"] == measured["version"]
    for metric in ("gap", "distance"):
        assert known[metric] == pytest.approx(measured[metric], rel=1e-10, abs=1e-10, nan_ok=True)


def mean_gaps(found: Problem, start: Floats, u: Floats, v: Floats, versions: Sequence[int]) -> list[float]:
    x, gaps = start, []
    for version in range(max(versions) + 1):
        if version in versions:
            gaps.append(float(found.gap(x)))
        x = x - u @ x + v
    return gaps


@pytest.mark.parametrize(("clients", "size"), [(4, 4), (2, 6)])
@pytest.mark.parametrize(
    ("sketch", "of"), [("permutation", "model"), ("permutation", "gradient"), ("preconditioned", "model")]
)
def test_with_sketches_it_follows_the_mean_over_all_ways_to_deal(
    sketch: str, of: str, clients: int, size: int
) -> None:
    strategy = f"submodel={{name: ist_sketch, sketch: {sketch}, of: {of}}}"
    parts = parts_of(
        *sized(clients, size, 12), strategy, "evaluate.every=3 rounds", "training.learning_rate=0.02"
    )
    found = run_parts(parts)
    known = closed_form(parts, found.outcome)
    assert known is not None
    theory = enumerated(found.problem, sketch, 0.02, of=of)
    wanted = mean_gaps(found.problem, found.x[0], theory.mean_u, theory.v.mean(0), known["version"])
    assert known["gap"] == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("of", ["model", "gradient"])
def test_with_random_sketches_it_is_of_the_mean_over_all_sets_that_a_client_may_draw(
    of: Literal["model", "gradient"],
) -> None:
    found, drawn, size = problem(*sized(4, 7)), 2, 7
    sets = [np.isin(np.arange(size), held) for held in itertools.combinations(range(size), drawn)]
    sketches = np.array(sets)[:, None] * size / drawn * np.ones((4, 1))
    inner = sketches if of == "model" else np.ones_like(sketches)
    cases = sketches[..., :, None] * found.curvatures * inner[..., None, :]
    expected = IstSketch(sketch="random", of=of).expected_step(found.curvatures, found.offsets)
    assert expected is not None
    assert expected[0] == pytest.approx(cases.mean(0))
    assert expected[1] == pytest.approx((sketches * found.offsets).mean(0))


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_with_random_masks_it_goes_down_the_masked_objective(density: float) -> None:
    found = problem(*sized(4, 6))
    expected = RandomMask(density=density, scaler=False).expected_step(found.curvatures, found.offsets)
    assert expected is not None
    for mean, wanted in zip(expected, masked_objective(found, (density,) * 4), strict=True):
        assert mean.mean(0) == pytest.approx(wanted)


@pytest.mark.parametrize("sketch", ["permutation", "random"])
def test_the_mean_of_many_runs_is_what_the_mean_steps_lead_to(
    sketch: Literal["permutation", "random"],
) -> None:
    rounds, gamma, seeds = 8, 0.05, range(1, 11)
    start = (1.0, -2.0, 0.5, 3.0)
    changes = (*SHORT, f"stop.rounds={rounds}", f"submodel.sketch={sketch}", rate(gamma))
    found = runs(*changes, seeds=seeds)
    ends = np.array([each.x[-1] for each in found])
    made = found[0].problem
    expected = IstSketch(sketch=sketch).expected_step(made.curvatures, made.offsets)
    assert expected is not None
    x = np.array(start)
    for _ in range(rounds):
        x = x - gamma * (expected[0].mean(0) @ x - expected[1].mean(0))
    error = ends.std(0, ddof=1) / math.sqrt(len(ends))
    assert (np.abs(ends.mean(0) - x) < 4 * error).all()
    assert (np.abs(np.array(start) - x) > 10 * error).any()


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_not_known_exactly_is_left_out(kind: str) -> None:
    parts = parts_of(*SHORT, "stop.rounds=2", *UNKNOWN[kind])
    assert closed_form(parts, run_parts(parts).outcome) is None


def test_a_run_leaves_it_as_a_table_where_it_is_known() -> None:
    scenario = yaml.safe_load(QUADRATIC)
    few = {"stop.rounds": 3, "evaluate.every": "2 rounds"}
    known = edgesim.run(scenario, overrides=few).tables
    assert known["closed_form"]["version"].tolist() == known["evaluations"]["version"].tolist() == [0, 2, 3]
    assert "closed_form" not in edgesim.run(scenario, overrides={**few, "training.steps": 2}).tables


def test_a_run_that_trained_nothing_has_no_closed_form() -> None:
    parts = parts_of(*FULL)
    assert closed_form(parts, execute(parts, timing_only=True)) is None


def test_a_method_of_ones_own_does_not_inherit_what_another_says_of_its_steps() -> None:
    parts = parts_of(*FULL, "stop.rounds=2")
    outcome = execute(parts)
    other = parts.scenario.model_copy(update={"submodel": Other()})
    assert closed_form(parts, outcome) is not None
    assert closed_form(replace(parts, scenario=other), outcome) is None
