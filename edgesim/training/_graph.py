"""Passes over a traced graph of ATen operators: each rewrites it in place without changing results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

_VIEWS = (aten.view.default, aten._unsafe_view.default, aten.reshape.default)
_ALIASES = (aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node gives."""
    return tuple(node.meta["val"].shape)


def pool_before_relu(graph: fx.Graph) -> None:
    """max(relu(x)) is relu(max(x)): the rectifier and its gradient then work on the smaller map.

    Bit for bit the same: where the largest value of a window is positive it is the one that was picked
    before; where it is not, the gradient is zero either way.
    """
    for pool in calls(graph, aten.max_pool2d_with_indices.default):
        relu = operand(pool)
        if relu.target is aten.relu.default:
            _swap(graph, relu, pool)


def _swap(graph: fx.Graph, relu: fx.Node, pool: fx.Node) -> None:
    backward = [user for user in relu.users if user.target is aten.max_pool2d_with_indices_backward.default]
    masks = [user for user in relu.users if user.target is aten.threshold_backward.default]
    if set(relu.users) != {pool, *backward, *masks} or [list(node.users) for node in backward] != [
        [mask] for mask in masks
    ]:
        return  # somebody else reads the rectified map
    x, pooled = operand(relu), next(user for user in pool.users if user.args[1] == 0)
    with graph.inserting_after(pooled):
        rectified = graph.call_function(aten.relu.default, (pooled,))
    rectified.meta["val"] = pooled.meta["val"]
    pooled.replace_all_uses_with(rectified, delete_user_cb=lambda user: user is not rectified)
    pool.args = (x, *pool.args[1:])
    for node, mask in zip(backward, masks, strict=True):
        gradient = operand(node)
        with graph.inserting_before(node):
            arguments = (gradient, rectified, *mask.args[2:])
            masked = graph.call_function(aten.threshold_backward.default, arguments)
        masked.meta["val"] = gradient.meta["val"]
        node.args = (masked, x, *node.args[2:])
        _replace(mask, node)
    graph.erase_node(relu)


def operand(node: fx.Node, index: int = 0) -> fx.Node:
    """The node that an operator reads at this place."""
    found = node.args[index]
    assert isinstance(found, fx.Node)
    return found


def calls(graph: fx.Graph, *targets: object) -> list[fx.Node]:
    """The nodes of a graph that call one of these operators."""
    return [node for node in graph.nodes if node.op == "call_function" and node.target in targets]


def simplify(graph: fx.Graph) -> None:
    """Remove what changes nothing, and turn gradients that are transposed matmuls into plain matmuls."""
    _lower_dropout(graph)
    _drop_identities(graph)
    _reshape_views(graph)
    _drop_double_transposes(graph)
    _push_transposes_into_matmuls(graph)
    _drop_double_transposes(graph)
    _fuse_bias(graph)
    _drop_unused_input_gradients(graph)
    graph.eliminate_dead_code()


def _replace(node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def _lower_dropout(graph: fx.Graph) -> None:
    """The fused dropout of GPUs as its parts, a draw and two products, so that the draw stands alone."""
    for node in calls(graph, aten.native_dropout.default):
        x, probability = operand(node), node.args[1]
        assert isinstance(probability, float)
        keep = 1.0 - probability
        with graph.inserting_before(node):
            mask = graph.call_function(aten.bernoulli.p, (x, keep))
            kept = graph.call_function(aten.mul.Tensor, (x, mask))
            scaled = graph.call_function(aten.mul.Scalar, (kept, 1.0 / keep if keep else 0.0))
        scaled.meta["val"], mask.meta["val"] = node.meta["val"]
        kept.meta["val"] = scaled.meta["val"]
        for user in list(node.users):
            _replace(user, (scaled, mask)[user.args[1]])  # type: ignore[index]
        graph.erase_node(node)


def _drop_identities(graph: fx.Graph) -> None:
    for node in calls(graph, *_ALIASES):
        _replace(node, operand(node))
    for node in calls(graph, aten.expand.default, *_VIEWS):
        if shape_of(node) == shape_of(operand(node)):
            _replace(node, operand(node))
    for node in calls(graph, aten.mul.Scalar):
        if node.args[1] == 1 and node.meta["val"].dtype == operand(node).meta["val"].dtype:
            _replace(node, operand(node))


def _reshape_views(graph: fx.Graph) -> None:
    """Strides met while tracing are not those at run time (channels-last input, stacked parameters)."""
    for node in calls(graph, *_VIEWS):
        node.target = aten.reshape.default


def _is_transpose(node: object) -> bool:
    """Whether a node swaps the last two dimensions, and does nothing else."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return False
    if node.target is aten.t.default:
        return len(shape_of(node)) == 2
    if node.target is not aten.transpose.int:
        return False
    rank = len(shape_of(node))
    return {dim % rank for dim in node.args[1:]} == {rank - 2, rank - 1}  # type: ignore[operator]


def _drop_double_transposes(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        if _is_transpose(node) and _is_transpose(node.args[0]):
            _replace(node, node.args[0].args[0])


def _push_transposes_into_matmuls(graph: fx.Graph) -> None:
    """(a b)' = b' a': the weight gradient then comes out in the weight's own layout."""
    for node in list(graph.nodes):
        if not _is_transpose(node):
            continue
        product = node.args[0]
        if product.op != "call_function" or product.target not in (aten.mm.default, aten.bmm.default):
            continue
        if len(product.users) != 1:
            continue
        with graph.inserting_before(node):
            left, right = (_transposed(graph, factor) for factor in reversed(product.args))
            swapped = graph.call_function(product.target, (left, right))
        swapped.meta["val"] = node.meta["val"]
        _replace(node, swapped)


def _transposed(graph: fx.Graph, node: fx.Node) -> fx.Node:
    if _is_transpose(node):
        return node.args[0]  # type: ignore[return-value]
    value = node.meta["val"].transpose(-1, -2)
    made = graph.call_function(aten.transpose.int, (node, -2, -1))
    made.meta["val"] = value
    return made


def _fuse_bias(graph: fx.Graph) -> None:
    """Bias + bmm(a, b) as one baddbmm."""
    for node in calls(graph, aten.add.Tensor):
        if len(node.args) != 2 or node.kwargs or not all(isinstance(arg, fx.Node) for arg in node.args):
            continue
        for product, bias in ((operand(node), operand(node, 1)), (operand(node, 1), operand(node))):
            if product.target is aten.bmm.default and len(product.users) == 1 and bias is not product:
                with graph.inserting_before(node):
                    fused = graph.call_function(aten.baddbmm.default, (bias, *product.args))
                fused.meta["val"] = node.meta["val"]
                _replace(node, fused)
                break


def _drop_unused_input_gradients(graph: fx.Graph) -> None:
    """A convolution's input gradient that nobody reads is not computed."""
    for node in calls(graph, aten.convolution_backward.default):
        used = {user.args[1] for user in node.users if user.users}
        mask = [wanted and place in used for place, wanted in enumerate(node.args[-1])]  # type: ignore[arg-type]
        node.args = (*node.args[:-1], mask)


def depends_on(graph: fx.Graph, roots: Iterable[fx.Node]) -> set[fx.Node]:
    """All nodes that a change of the roots can change, the roots included."""
    found = set(roots)
    for node in graph.nodes:
        if any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def batch_statistics(graph: fx.Graph) -> list[fx.Node]:
    """Nodes whose output for one sample depends on the others of its batch."""
    return [node for node in graph.nodes if node.op == "call_function" and "batch_norm" in str(node.target)]


def edge_of(graph: fx.Graph, below: set[fx.Node], rows: set[fx.Node]) -> list[fx.Node]:
    """The nodes of `below` that others read. Takes nodes out of `below` until all of them are `rows`."""
    while True:
        edge = [node for node in graph.nodes if node in below and not below.issuperset(node.users)]
        if rows.issuperset(edge):
            return edge
        below -= set(edge) - rows


def evaluated(
    nodes: Iterable[fx.Node], inputs: Mapping[fx.Node, torch.Tensor], constants: torch.nn.Module
) -> dict[fx.Node, Any]:
    """Run nodes on real tensors; what each of them gives, the inputs included."""
    values: dict[fx.Node, Any] = dict(inputs)
    for node in nodes:
        if node.op == "get_attr":
            values[node] = getattr(constants, str(node.target))
        elif node.op == "call_function":
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    return values


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes and all that they are computed from."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def random_operators(graph: fx.Graph) -> list[fx.Node]:
    """Nodes that draw from PyTorch's own random state."""
    return [
        node
        for node in graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ]


def compiled(constants: torch.nn.Module, graph: fx.Graph) -> Callable[..., Any]:
    """The graph as one straight-line Python function that frees every tensor after its last use.

    Args:
        constants: holds the tensors that the network's code makes itself, as attributes.
        graph: to compile.
    """
    graph.set_codegen(fx.graph.CodeGen())
    graph.lint()
    return fx.GraphModule(constants, graph).forward


def copy_nodes(source: Sequence[fx.Node], target: fx.Graph, known: dict[fx.Node, fx.Node]) -> None:
    """Append copies of nodes to another graph; `known` maps what is there already and is extended."""
    for node in source:
        known[node] = target.node_copy(node, lambda other: known[other])
