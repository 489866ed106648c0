"""Ordered dropout on a linear map finds its singular value decomposition (FjORD, arXiv 2102.13451)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgesim.document import open_document
from edgesim.experiment import Outcome, execute
from edgesim.parts import prepare
from edgesim.scenario import resolve
from tests.theory.quadratics import Floats

SCENARIO = Path(__file__).parents[2] / "scenarios" / "theory" / "ordered-dropout" / "scenario.yaml"
UNITS = 4


@cache
def trained(variant: str) -> tuple[Outcome, Floats]:
    """A run, and the map that it is to learn."""
    parts = prepare(resolve(open_document(str(SCENARIO)), variant))
    size = parts.data.input_shape[0] // 2
    inputs, outputs = np.split(parts.data.test_x[:size].astype(np.float64), [size], axis=1)
    return execute(parts), outputs.T @ np.linalg.inv(inputs.T)


def errors(variant: str) -> list[float]:
    """Of the product of the first k units: how far it is from the best of rank k, as a share of that."""
    outcome, target = trained(variant)
    assert outcome.weights is not None
    first, second = outcome.weights["first.weight"], outcome.weights["second.weight"]
    left, values, right = np.linalg.svd(target)
    found = []
    for k in range(1, UNITS + 1):
        best = left[:, :k] * values[:k] @ right[:k]
        found.append(float(np.linalg.norm(second[:, :k] @ first[:k] - best) / np.linalg.norm(best)))
    return found


def test_the_first_units_are_the_best_approximation_of_their_rank() -> None:
    assert max(errors("ordered")) < 1e-2


def test_what_they_leave_is_half_the_squares_of_the_other_singular_values() -> None:
    last = {name: column[-1] for name, column in trained("ordered")[0].tables["evaluations"].items()}
    measured = [last[name] for name in ("loss_at_0.25", "loss_at_0.5", "loss_at_0.75", "loss")]
    assert measured == pytest.approx([7, 2.5, 0.5, 0], abs=1e-2)


def test_without_ordered_dropout_the_whole_is_learnt_and_no_part_of_it() -> None:
    *parts, whole = errors("whole")
    assert whole < 1e-6
    assert min(parts) > 0.2
