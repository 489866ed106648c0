"""The step plan: one local training step as straight-line ATen code, traced once and replayed.

The objective is traced with `make_fx` on fake tensors: autograd outside, `vmap` of the forward pass inside
where several clients are stacked (so that fused backward operators stay whole). The optimiser's update is
written in place at the end. What depends on frozen tensors and the input alone is split off as the prefix and
runs once per visit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products
from edgesim.models._recurrent import recurrence_as_products
from edgesim.submodels._rule import Rule
from edgesim.training import _graph
from edgesim.training._prefix import split_prefix
from edgesim.training.objective import Objective
from edgesim.training.optimizer import GraphWriter, Optimizer

aten = torch.ops.aten

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Example:
    """Tensors of the shapes that a plan is made for, one client's; values do not matter.

    Attributes:
        params: the trained tensors by name.
        frozen: tensors that the network runs with and nobody trains.
        buffers: the network's buffers.
        aux: tensors of one visit that the rule reads.
        x: one batch [batch, *input].
        y: its labels [batch] or [batch, length].
    """

    params: Tensors
    frozen: Tensors
    buffers: Tensors
    aux: Tensors
    x: Tensor
    y: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters, in which losses are weighted."""
        return next(iter(self.params.values())).dtype


@dataclass(frozen=True)
class Noise:
    """A random operator that became an input.

    Attributes:
        shape: of the input.
        dtype: of the input.
        keep: probability that an element is one and not zero.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    keep: float


@dataclass(frozen=True)
class StepPlan:
    """A replayable training step for one shape.

    Attributes:
        prefix: (frozen values, x) -> features, which act per sample; null where nothing is frozen below.
        step: (params, states, frozen, buffers, aux, features, y, weight, noise, scalars), flattened in this
            order -> (loss, *buffers). Updates params and states in place.
        features: how many feature tensors a batch has (1, the input itself, without a prefix).
        noise: the random inputs of one step.
        optimizer: whose update is written in.
        batch: samples per step.
        clients: clients per step; null for one client without a client axis.
        graph: the step before it was compiled, for counting and export.
    """

    prefix: Callable[..., Sequence[Tensor]] | None
    step: Callable[..., Sequence[Tensor]]
    features: int
    noise: tuple[Noise, ...]
    optimizer: Optimizer
    batch: int
    clients: int | None
    graph: fx.Graph


@torch.inference_mode(mode=False)  # asked for in the middle of a replay, and tracing needs autograd
def make_plan(
    network: nn.Module,
    objective: Objective,
    optimizer: Optimizer,
    example: Example,
    clients: int | None = None,
) -> StepPlan:
    """Trace, simplify, split and compile one training step.

    Args:
        network: gives the architecture; its own parameter values are not used.
        objective: what is minimised.
        optimizer: whose update closes the step.
        example: one client's tensors, for their shapes.
        clients: stack so many clients along a leading axis; null for one without the axis.

    Raises:
        RunFailed: the network draws random numbers by an operator that cannot be turned into an input,
            branches on values, or runs with a tensor that the example lacks.
    """
    pool_first = example.x.dim() == 4 and example.x.stride(1) == 1  # it is slower where channels come first
    traced, layout, noise = _simplified(network, objective, example, clients, pool_first=pool_first)
    graph = traced.graph
    prefix, features = split_prefix(traced, layout.frozen, layout.x, axes=1 if clients is None else 2)
    _write_update(graph, layout, objective, optimizer, example, clients)
    return StepPlan(
        prefix=None if prefix is None else _graph.compiled(traced, prefix),
        step=_graph.compiled(traced, graph),
        features=features,
        noise=noise,
        optimizer=optimizer,
        batch=example.x.shape[0],
        clients=clients,
        graph=graph,
    )


@dataclass(frozen=True)
class WholeStep:
    """One client's training step, neither split nor compiled: what is translated for the devices.

    Attributes:
        traced: its graph is (params, states, frozen, buffers, aux, x, y, weight, noise, scalars), flattened
            in this order -> (loss, *buffers), and updates params and states in place; its attributes are the
            tensors that the network's code makes itself.
        noise: the random inputs.
    """

    traced: fx.GraphModule
    noise: tuple[Noise, ...]


@torch.inference_mode(mode=False)
def whole_step(network: nn.Module, objective: Objective, optimizer: Optimizer, example: Example) -> WholeStep:
    """Trace and simplify one training step, its forward pass from the input on.

    Raises:
        RunFailed: as of `make_plan`.
    """
    traced, layout, noise = _simplified(network, objective, example, None, pool_first=True)
    _write_update(traced.graph, layout, objective, optimizer, example, None)
    return WholeStep(traced, noise)


def _simplified(
    network: nn.Module, objective: Objective, example: Example, clients: int | None, *, pool_first: bool
) -> tuple[fx.GraphModule, _Layout, tuple[Noise, ...]]:
    """The traced step up to its gradients, with its random operators as inputs."""
    _check_complete(network, example)
    rest = frozen_norms_at_rest(network, example.frozen)
    with rest, attention_as_products(), recurrence_as_products():
        traced, layout = _trace(network, objective, example, clients)
    _graph.simplify(traced.graph)
    if pool_first:
        _graph.pool_before_relu(traced.graph)
    return traced, layout, _noise_as_inputs(traced.graph)


def _check_complete(network: nn.Module, example: Example) -> None:
    given = {*example.params, *example.frozen, *example.buffers}
    tensors = (*network.named_parameters(), *network.named_buffers())
    missing = [name for name, _ in tensors if name not in given]
    if missing:
        raise RunFailed(
            f"the model's {missing[0]} is no part of its state; register it as a persistent buffer"
        )


@contextmanager
def frozen_norms_at_rest(network: nn.Module, frozen: Tensors) -> Iterator[None]:
    """Modules with buffers whose parameters are all frozen run in evaluation mode (algorithms 3.2)."""
    was = {module: module.training for module in network.modules()}
    network.train()
    for path, module in network.named_modules():
        own = [f"{path}.{name}" if path else name for name, _ in module.named_parameters(recurse=False)]
        if own and set(own) <= set(frozen) and any(True for _ in module.buffers(recurse=False)):
            module.eval()
    try:
        yield
    finally:
        for module, training in was.items():
            module.training = training


class _Layout:
    """The placeholders of a traced step, by what they hold."""

    def __init__(self, nodes: Sequence[fx.Node], example: Example) -> None:
        rest = list(nodes)

        def take(count: int) -> list[fx.Node]:
            taken, rest[:] = rest[:count], rest[count:]
            return taken

        self.params = take(len(example.params))
        self.frozen = take(len(example.frozen))
        self.buffers = take(len(example.buffers))
        self.aux = take(len(example.aux))
        (self.x,) = take(1)
        (self.y,) = take(1)
        (self.weight,) = take(1)


def _trace(
    network: nn.Module, objective: Objective, example: Example, clients: int | None
) -> tuple[fx.GraphModule, _Layout]:
    groups = (example.params, example.frozen, example.buffers, example.aux)
    names = [list(group) for group in groups]

    def one(values: Sequence[Sequence[Tensor]], x: Tensor, y: Tensor, weight: Tensor) -> Any:
        params, frozen, buffers, aux = (
            dict(zip(*pair, strict=True)) for pair in zip(names, values, strict=True)
        )
        loss, fresh = objective(network, params, frozen, buffers, x, y, weight, aux)
        return loss, list(fresh.values())

    def step(*flat: Tensor) -> tuple[Tensor, ...]:
        values, rest = _unflatten(flat, [len(group) for group in groups])
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in values[0]]
            run = one if clients is None else vmap(one, randomness="different")
            loss, buffers = run([leaves, *values[1:]], *rest)
            gradients = torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)
        clipped = objective.clip(gradients, stacked=clients is not None)
        return (loss.detach(), *buffers, *clipped)

    weight = torch.empty(example.x.shape[0], dtype=example.dtype, device=example.x.device)
    flat = [tensor for group in groups for tensor in group.values()] + [example.x, example.y, weight]
    axis = () if clients is None else (clients,)
    inputs = [tensor.new_empty(axis + tensor.shape) for tensor in flat]
    try:
        traced: fx.GraphModule = make_fx(step, tracing_mode="fake")(*inputs)
    except (RuntimeError, ValueError) as error:
        # What torch raises for a network that branches on values, or that a batch of this size does not fit.
        reason = str(error).splitlines()[0]
        raise RunFailed(
            f"the model's training step cannot be traced for batches of {len(example.x)} "
            f"(a model may not branch on values, nor take shapes from them): {reason}"
        ) from error
    placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
    return traced, _Layout(placeholders, example)


def _unflatten(flat: Sequence[Tensor], sizes: Sequence[int]) -> tuple[list[list[Tensor]], Sequence[Tensor]]:
    groups, start = [], 0
    for size in sizes:
        groups.append(list(flat[start : start + size]))
        start += size
    return groups, flat[start:]


def _noise_as_inputs(graph: fx.Graph) -> tuple[Noise, ...]:
    """Turn every random operator into an input, so that the draws come from the visit's own stream."""
    found: list[Noise] = []
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for node in _graph.random_operators(graph):
        if node.target not in (aten.bernoulli_.float, aten.bernoulli.p):
            raise RunFailed(
                f"the model draws random numbers by {node.target}, which cannot be repeated; "
                "use torch.nn.Dropout, or set its probability to 0"
            )
        with graph.inserting_after(last):
            noise = graph.placeholder(f"noise_{len(found)}")
        noise.meta["val"] = node.meta["val"]
        last = noise
        keep = node.args[1] if len(node.args) > 1 else 0.5  # a default is left out of the graph
        assert isinstance(keep, float)
        found.append(Noise(_graph.shape_of(node), node.meta["val"].dtype, keep))
        node.replace_all_uses_with(noise)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    return tuple(found)


def _write_update(
    graph: fx.Graph,
    layout: _Layout,
    objective: Objective,
    optimizer: Optimizer,
    example: Example,
    clients: int | None,
) -> None:
    """Replace the gradients among the outputs by in-place updates of parameters and optimiser states."""
    output = next(node for node in graph.nodes if node.op == "output")
    loss, *rest = output.args[0]
    buffers, gradients = rest[: len(layout.buffers)], rest[len(layout.buffers) :]
    states = _add_placeholders(graph, layout.params[-1], "state", optimizer.states * len(gradients))
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    scalars = _add_placeholders(graph, last, "scalar", len(optimizer.scalars))
    with graph.inserting_before(output):
        write = GraphWriter(graph, set(layout.params))
        for index, (param, gradient) in enumerate(zip(layout.params, gradients, strict=True)):
            own = states[index * optimizer.states : (index + 1) * optimizer.states]
            optimizer.update(write, param, gradient, own, scalars)
        _write_projection(write, layout, objective, example, clients)
    output.args = ([loss, *buffers],)
    graph.eliminate_dead_code()


def _add_placeholders(graph: fx.Graph, after: fx.Node, kind: str, count: int) -> list[fx.Node]:
    made = []
    for index in range(count):
        with graph.inserting_after(after):
            after = graph.placeholder(f"{kind}_{index}")
        made.append(after)
    return made


def _write_projection(
    write: GraphWriter, layout: _Layout, objective: Objective, example: Example, clients: int | None
) -> None:
    """Append the rule's projection; for the plain rule that is nothing."""
    if type(objective.rule).project is Rule.project:
        return
    names, aux_names = list(example.params), list(example.aux)

    def project(*flat: Tensor) -> list[Tensor]:
        params = dict(zip(names, flat[: len(names)], strict=True))
        aux = dict(zip(aux_names, flat[len(names) :], strict=True))
        return list(objective.rule.project(params, aux).values())

    axis = () if clients is None else (clients,)
    inputs = [t.new_empty(axis + t.shape) for t in (*example.params.values(), *example.aux.values())]
    run = project if clients is None else vmap(project)
    traced = make_fx(run, tracing_mode="fake")(*inputs).graph
    _graph.simplify(traced)
    sources = [node for node in traced.nodes if node.op == "placeholder"]
    known = dict(zip(sources, (*layout.params, *layout.aux), strict=True))
    inner = [node for node in traced.nodes if node.op == "call_function"]
    _graph.copy_nodes(inner, write.graph, known)
    results = next(node for node in traced.nodes if node.op == "output").args[0]
    for param, result in zip(layout.params, results, strict=True):
        if known[result] is not param:
            write.call(aten.copy_.default, param, known[result])
