"""How far the updates of an aggregation diverge is written down for every tenth, layer by layer."""

from __future__ import annotations

import torch

from tests.training.federations import federation, run_round


def test_every_tenth_aggregation_has_a_row_per_layer() -> None:
    learner = federation()
    for version in range(11):
        run_round(learner, version, [0, 1])
    table = learner.tables()["divergence"]
    names = [layer.name for layer in learner.ledger.structure.layers]
    assert table["version"] == [1] * 3 + [11] * 3
    assert table["layer"] == names * 2
    assert all(value is not None and value > 0 for value in table["divergence"])


def test_watching_changes_nothing() -> None:
    one, other = federation(), federation()
    run_round(one, 0, [0, 1, 2])
    other._watched = lambda updates, version: updates  # noqa: ARG005
    run_round(other, 0, [0, 1, 2])
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert other.tables()["divergence"]["version"] == []


def test_a_single_update_diverges_from_nobody() -> None:
    learner = federation()
    run_round(learner, 0, [0])
    assert learner.tables()["divergence"]["version"] == []
