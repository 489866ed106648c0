"""The check finds what is wrong with a graph, and forgives what two right implementations differ in."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgesim.models.mlp import Mlp
from edgesim.profiling.check import DRAWS, Fresh, check_inference, check_step
from edgesim.profiling.steps import Exported, inference, training_step
from edgesim.training.optimizer import Adam
from tests.profiling.steps_of import books, built, subject

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
    assert check_step(right, SUBJECT, Fresh()).passed
    found = check_step(tampered(right, change), SUBJECT, Fresh())
    assert not found.passed
    assert tensor in found.tensor
    assert found.draws == DRAWS


def test_a_wrong_forward_pass_is_found() -> None:
    right = inference(SUBJECT)
    assert check_inference(right, SUBJECT, Fresh()).passed

    def without_rectifier(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type == "Relu":
                node.op_type = "Identity"

    assert not check_inference(tampered(right, without_rectifier), SUBJECT, Fresh()).passed


def test_one_draw_is_enough_where_the_graph_is_right() -> None:
    assert check_step(training_step(SUBJECT), SUBJECT, Fresh()).draws == 1


def test_states_are_judged_by_their_change() -> None:
    adam = subject(books(built(Mlp(hidden=(8,)), IMAGE, 4), IMAGE, optimizer=Adam()))
    right = training_step(adam)

    def keep_the_second_moment(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if "new/state/1/fc1.weight" in node.output:
                node.CopyFrom(onnx.helper.make_node("Identity", ["state/1/fc1.weight"], list(node.output)))

    found = check_step(tampered(right, keep_the_second_moment), adam, Fresh())
    assert not found.passed
