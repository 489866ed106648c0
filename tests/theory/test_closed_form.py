"""The closed form that a run reports: exact where nothing is drawn, the mean of many runs where something is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import chi2

from edgesim.closed_form import closed_form
from edgesim.registry import builtin, component
from edgesim.submodels.full import Full
from edgesim.submodels.ist_sketch import IstSketch
from edgesim.submodels.random_mask import RandomMask
from tests.theory.ist import problem, sized
from tests.theory.masks import masked_objective
from tests.theory.quadratics import Floats, Problem, parts_of, run, run_parts
from tests.theory.recursions import UNLIKELY, enumerated

SHORT = (*sized(4, rounds=30), "evaluate.every=7 rounds", "dataset.start=[1.0, -2.0, 0.5, 3.0]")
FULL = (*SHORT, "submodel=full")
THREE_DEVICES = ("fleet[0].count=3", "coordination.clients_per_round=3", "dataset.partition=iid")

NOTHING_DRAWN = {
    "one step": FULL,
    "several steps": (*FULL, "training.steps=4"),
    "several epochs": (*FULL, "training={epochs: 3, batch_size: 6}", "dataset={samples: 6, noise: 2}"),
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
    "text": "evaluate.every=10 rounds",
}


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


@pytest.mark.parametrize("of", ["model", "gradient"])
@pytest.mark.parametrize("sketch", ["permutation", "preconditioned"])
@pytest.mark.parametrize(("clients", "size"), [(4, 4), (2, 6), (3, 6)])
def test_with_sketches_it_follows_the_mean_over_all_ways_to_deal(
    sketch: str, of: str, clients: int, size: int
) -> None:
    if sketch == "preconditioned" and of == "gradient":
        return
    strategy = f"submodel={{name: ist_sketch, sketch: {sketch}, of: {of}}}"
    parts = parts_of(*sized(clients, size, 12), strategy, "evaluate.every=3 rounds", "training.learning_rate=0.02")
    found = run_parts(parts)
    known = closed_form(parts, found.outcome)
    assert known is not None
    theory = enumerated(found.problem, sketch, 0.02, of=of)
    wanted = mean_gaps(found.problem, found.x[0], theory.mean_u, theory.v.mean(0), known["version"])
    assert known["gap"] == pytest.approx(wanted, rel=1e-10)
