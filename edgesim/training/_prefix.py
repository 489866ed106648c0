"""The part of a traced step that hangs on frozen tensors and the input alone: it runs once per visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from edgesim.training import _graph


def split_prefix(
    traced: fx.GraphModule, frozen: Sequence[fx.Node], x: fx.Node, axes: int
) -> tuple[fx.Graph | None, int]:
    """Cut the prefix out of a traced step; its outputs become inputs of the step, in the place of `x`.

    They are kept for all samples of a visit and indexed per batch. So the cut lies where tensors have a row
    per sample, and nothing in the prefix looks at other samples or draws random numbers.

    Args:
        traced: the step; it loses its prefix.
        frozen: placeholders of the frozen tensors.
        x: placeholder of the input.
        axes: leading axes that number samples: one, or two with a client axis.

    Returns:
        The prefix as a graph from frozen tensors and `x`, null where there is none, and how many inputs stand
        in the place of `x` now.
    """
    graph = traced.graph
    if not frozen:
        return None, 1
    changing = {node for node in graph.nodes if node.op == "placeholder"} - {*frozen, x}
    changing |= set(_graph.batch_statistics(graph))
    below = _graph.depends_on(graph, [x]) - _graph.depends_on(graph, changing)
    edge = _graph.edge_of(graph, below, _with_rows(traced, frozen, x, below, axes))
    inner = [node for node in graph.nodes if node in below and node is not x]
    if not inner:
        return None, 1
    prefix = _copied(graph, (*frozen, x), inner, edge)
    for number, node in enumerate(edge):
        with graph.inserting_before(x):
            feature = graph.placeholder(f"feature_{number}")
        feature.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(feature, delete_user_cb=lambda user: user not in below)
    for node in reversed(inner):
        graph.erase_node(node)
    graph.erase_node(x)
    graph.eliminate_dead_code()
    return prefix, len(edge)


def _copied(
    graph: fx.Graph, inputs: Sequence[fx.Node], inner: Sequence[fx.Node], outputs: Sequence[fx.Node]
) -> fx.Graph:
    prefix = fx.Graph()
    known = {node: prefix.placeholder(node.name) for node in inputs}
    needed = _graph.ancestors(inner) - set(inputs)
    _graph.copy_nodes([node for node in graph.nodes if node in needed], prefix, known)
    prefix.output([known[node] for node in outputs])
    return prefix


def _with_rows(
    traced: fx.GraphModule, frozen: Sequence[fx.Node], x: fx.Node, below: set[fx.Node], axes: int
) -> set[fx.Node]:
    """Nodes below with a row per sample: when the first sample changes, the first row alone changes.

    Where samples are tokens, all are the first one, and those of the changed sample the second.
    """
    needed = _graph.ancestors(below)
    nodes = [node for node in traced.graph.nodes if node in needed]
    generator = torch.Generator().manual_seed(0)
    given = {
        node: torch.rand(_graph.shape_of(node), generator=generator).to(node.meta["val"])
        for node in (*frozen, x)
    }
    changed = given[x].clone()
    first = (0,) * axes
    changed[first] += 1
    with torch.no_grad():
        before = _graph.evaluated(nodes, given, traced)
        after = _graph.evaluated(nodes, {**given, x: changed}, traced)
    return {node for node in below if _only_first_differs(before[node], after[node], changed.shape[:axes])}


def _only_first_differs(before: Any, after: Any, leading: Sequence[int]) -> bool:
    if not isinstance(before, Tensor) or before.shape[: len(leading)] != leading:
        return False
    alike = torch.isclose(before, after, equal_nan=True)
    alike[(0,) * len(leading)] = True
    return bool(alike.all())
