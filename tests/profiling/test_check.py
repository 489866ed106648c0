"""The check finds what is wrong with a graph, and forgives what two right implementations differ in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgesim.models.mlp import Mlp
from edgesim.profiling._reference import differentiated
from edgesim.profiling.check import DRAWS, Checker
from edgesim.profiling.steps import Exported, inference, training_step
from edgesim.profiling.subjects import Subject
from edgesim.submodels.fedpmt import FedPMT
from edgesim.training.objective import Objective
from edgesim.training.optimizer import Adam
from tests.profiling.steps_of import BATCH, books, built, subject

IMAGE = (1, 6, 6)
SUBJECT = subject(books(built(Mlp(hidden=(8,)), IMAGE, 4), IMAGE))


def tampered(exported: Exported, change: Callable[[onnx.GraphProto], None]) -> Exported:
    model = copy.deepcopy(exported.model)
    change(model.graph)
    return Exported(model, exported.inputs, exported.outputs)


def scale_constants(before: float, after: float) -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        found = False
        for tensor in graph.initializer:
            if numpy_helper.to_array(tensor).tolist() == pytest.approx(before):
                tensor.CopyFrom(numpy_helper.from_array(np.float32(after), tensor.name))
                found = True
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name == "beta" and attribute.f == pytest.approx(before):
                    attribute.f = after
                    found = True
        assert found

    return change


def let_the_rectifier_pass(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type == "Where":
            node.op_type = "Identity"
            del node.input[0], node.input[1]


def forget_the_second_layer(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if "new/fc2.weight" in node.output:
            del node.input[:]
            node.CopyFrom(onnx.helper.make_node("Identity", ["fc2.weight"], ["new/fc2.weight"]))


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        (scale_constants(0.9, 0.89), "fc"),
        (scale_constants(0.001, 0.002), "fc"),
        (let_the_rectifier_pass, "fc1"),
        (forget_the_second_layer, "new/fc2.weight"),
    ],
    ids=["momentum", "weight decay", "rectifier", "update"],
)
def test_a_wrong_update_is_found(change: Callable[[onnx.GraphProto], None], tensor: str) -> None:
    right = training_step(SUBJECT)
    assert Checker().step(right, SUBJECT).passed
    found = Checker().step(tampered(right, change), SUBJECT)
    assert not found.passed
    assert tensor in found.tensor
    assert found.draws == DRAWS


def test_a_wrong_forward_pass_is_found() -> None:
    right = inference(SUBJECT)
    assert Checker().inference(right, SUBJECT).passed

    def without_rectifier(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type == "Relu":
                node.op_type = "Identity"

    assert not Checker().inference(tampered(right, without_rectifier), SUBJECT).passed


def test_one_draw_is_enough_where_the_graph_is_right() -> None:
    assert Checker().step(training_step(SUBJECT), SUBJECT).draws == 1


def test_states_are_judged_by_their_change() -> None:
    adam = subject(books(built(Mlp(hidden=(8,)), IMAGE, 4), IMAGE, optimizer=Adam()))
    right = training_step(adam)

    def keep_the_second_moment(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if "new/state/1/fc1.weight" in node.output:
                node.CopyFrom(onnx.helper.make_node("Identity", ["state/1/fc1.weight"], list(node.output)))

    found = Checker().step(tampered(right, keep_the_second_moment), adam)
    assert not found.passed


# ----------------------------------------------------------------------------------------- shared gradients


def depths(network: nn.Module, **options: Any) -> list[Subject]:
    """What devices train with a network by FedPMT, the deepest first."""
    ledger = books(network, IMAGE, FedPMT())
    ladder = ledger.strategy.ladder(ledger.structure)
    return [subject(ledger, depth, Objective(**options)) for depth in reversed(ladder)]


def normed() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
        return nn.Sequential(*layers)


@pytest.mark.parametrize("network", [built(Mlp(hidden=(8, 6)), IMAGE, 4), normed()], ids=["plain", "normed"])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"proximal": 0.1}], ids=str)
def test_depths_checked_one_after_the_other_are_judged_as_each_by_itself(
    network: nn.Module, options: dict[str, float]
) -> None:
    checker = Checker()
    for each in depths(network, **options):
        exported = training_step(each)
        assert checker.step(exported, each) == Checker().step(exported, each)


def test_the_gradients_of_a_deep_one_find_a_wrong_update_of_a_shallow_one() -> None:
    deep, shallow, *_ = depths(built(Mlp(hidden=(8,)), IMAGE, 4))
    checker = Checker()
    assert checker.step(training_step(deep), deep).passed
    wrong = tampered(training_step(shallow), forget_the_second_layer)
    assert not checker.step(wrong, shallow).passed


def served(first: Subject, second: Subject, seed: int = 0) -> bool:
    """Whether the gradients of one subject are taken for another's."""
    feeds = {"batch/x": np.random.default_rng(0).normal(size=(BATCH, *IMAGE)).astype(np.float32)}
    other = feeds if seed == 0 else {name: array.copy() for name, array in feeds.items()}
    return differentiated(first, feeds, torch.float64).serve(second, other)


def test_gradients_serve_what_trains_less_of_the_same_network_on_the_same_data() -> None:
    deep, shallow, *_ = depths(built(Mlp(hidden=(8,)), IMAGE, 4))
    assert served(deep, shallow)
    assert not served(shallow, deep)
    assert not served(deep, shallow, seed=1)
    assert not served(deep, replace(shallow, objective=replace(shallow.objective, loss="bce_with_logits")))


def test_gradients_serve_nothing_else_where_freezing_changes_the_loss() -> None:
    frozen_norms_rest = depths(normed())
    proximal = depths(built(Mlp(hidden=(8,)), IMAGE, 4), proximal=0.1)
    assert not any(served(deep, shallow) for deep, shallow in (frozen_norms_rest[:2], proximal[:2]))
