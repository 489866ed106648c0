"""Training steps and inference graphs as ONNX: the step that the simulation runs, for one client, whole.

What the graph reads and gives is a list of ports. Each input says how it is filled, so that a board can run
the graph without any weights: with numbers of the spread of what the network starts with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from edgesim.errors import RunFailed
from edgesim.models._attention import attention_as_products
from edgesim.models._recurrent import recurrence_as_products
from edgesim.profiling._aten import Translator, result_of
from edgesim.profiling._emit import Emitter
from edgesim.profiling._writer import Value
from edgesim.profiling.subjects import Subject
from edgesim.training import _graph
from edgesim.training.optimizer import Adam, Optimizer
from edgesim.training.step_plan import Noise, whole_step

Fill = Mapping[str, Any]
"""How an input is filled, as `runner.fills.draw` reads it."""

Role = Literal[
    "params", "state", "frozen", "buffers", "aux", "x", "y", "weight", "noise", "scalar", "loss", "output"
]

# Slashes keep these apart from the names of parameters.
LOSS, OUTPUT, X, Y = "batch/loss", "batch/output", "batch/x", "batch/y"
AUX = "aux/"
SCALAR = "scalar/"
FRESH = "new/"  # before the name of what a step changes: what it is afterwards

_SPREAD = 0.1  # of a tensor that starts with the same number everywhere
_TINY = 1e-12  # a spread below which a tensor counts as uniform
_FIRST_MOMENT, _SECOND_MOMENT = 0.01, 1e-3  # of an optimiser in the midst of training


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Attributes:
        name: in the graph.
        role: what it is to the training step.
        shape: of the tensor.
        dtype: "float32" or "int64".
        fill: how an input is filled; null for outputs.
    """

    name: str
    role: Role
    shape: tuple[int, ...]
    dtype: str
    fill: Fill | None = None

    def described(self) -> dict[str, Any]:
        """As the manifest has it."""
        entry = {"name": self.name, "role": self.role, "shape": list(self.shape), "dtype": self.dtype}
        return entry if self.fill is None else entry | {"fill": dict(self.fill)}


@dataclass(frozen=True)
class Exported:
    """One ONNX graph.

    Attributes:
        model: opset 17, IR 8, fixed shapes, no weights inside.
        inputs: what it reads, in order.
        outputs: what it gives, in order.
    """

    model: onnx.ModelProto
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def training_step(subject: Subject) -> Exported:
    """The step that the simulation runs, as a graph of one client's tensors.

    Inputs are parameters, optimiser states, frozen tensors, buffers, aux tensors, batch, labels, weights of
    the samples, noise and the optimiser's scalars, as far as they are read; outputs the loss and all that
    changes.

    Raises:
        RunFailed: the step cannot be traced.
        NoTranslationError: one of its operators cannot be written as ONNX.
    """
    step = whole_step(subject.network, subject.objective, subject.optimizer, subject.example)
    ports = list(_ports(subject, step.noise))
    emitter = Emitter()
    translator = Translator(emitter, step.traced)
    given = [emitter.input(port.name, port.shape, port.dtype) for port in ports]
    loss, *buffers = translator.run(given)
    nodes = [node for node in step.traced.graph.nodes if node.op == "placeholder"]
    after = [translator.values[node] for node in nodes]
    fresh = list(_changed(ports, given, after, buffers))
    outputs = {LOSS: loss, **{FRESH + port.name: value for port, value in fresh}}
    roles: list[Role] = ["loss", *(port.role for port, _ in fresh)]
    return _exported(emitter, ports, outputs, roles)


def _changed(
    ports: Sequence[Port], given: Sequence[Value], after: Sequence[Any], buffers: Sequence[Value]
) -> Iterator[tuple[Port, Value]]:
    """The ports of what a client keeps whose tensor is another after the step, with what it is then."""
    rest = iter(buffers)
    for port, before, now in zip(ports, given, after, strict=True):
        value = next(rest) if port.role == "buffers" else now
        if value is not before and port.role in ("params", "state", "buffers"):
            yield port, value


def inference(subject: Subject) -> Exported:
    """The network's forward pass in evaluation mode on one batch, as a graph.

    Raises:
        RunFailed: it cannot be traced.
        NoTranslationError: one of its operators cannot be written as ONNX.
    """
    example = subject.example
    known = {**example.params, **example.frozen, **example.buffers}
    params = {name: known[name] for name, _ in subject.network.named_parameters()}
    ports = [*_tensors("params", params), *_tensors("buffers", example.buffers)]
    ports.append(_samples(subject))
    traced = _traced_forward(subject.network, {**params, **example.buffers}, example.x)
    emitter = Emitter()
    given = [emitter.input(port.name, port.shape, port.dtype) for port in ports]
    (output,) = Translator(emitter, traced).run(given)
    return _exported(emitter, ports, {OUTPUT: output}, ["output"])


def _traced_forward(network: nn.Module, tensors: Mapping[str, Tensor], x: Tensor) -> fx.GraphModule:
    def forward(*flat: Tensor) -> list[Tensor]:
        return [functional_call(network, dict(zip(tensors, flat, strict=False)), (flat[-1],))]

    inputs = [*tensors.values(), x]
    was = network.training
    network.eval()
    try:
        with torch.no_grad(), attention_as_products(), recurrence_as_products():
            traced = make_fx(forward, tracing_mode="fake")(*inputs)
    except (RuntimeError, ValueError) as error:  # as in `step_plan`
        reason = str(error).splitlines()[0]
        raise RunFailed(f"the model's forward pass cannot be traced: {reason}") from error
    finally:
        network.train(was)
    _graph.simplify(traced.graph)
    return traced


def _exported(
    emitter: Emitter, ports: Sequence[Port], outputs: Mapping[str, Value], roles: Sequence[Role]
) -> Exported:
    model = emitter.model(outputs)
    read = {entry.name for entry in model.graph.input}
    results = [
        Port(name, role, value.shape, str(value.dtype))
        for (name, value), role in zip(outputs.items(), roles, strict=True)
    ]
    return Exported(model, tuple(port for port in ports if port.name in read), tuple(results))


# ----------------------------------------------------------------------------------------- what is fed in


def _ports(subject: Subject, noise: Sequence[Noise]) -> Iterator[Port]:
    """One for each placeholder of a whole step, in its order."""
    example = subject.example
    yield from _tensors("params", example.params)
    yield from _states(subject.optimizer, example.params)
    yield from _tensors("frozen", example.frozen)
    yield from _tensors("buffers", example.buffers)
    yield from _tensors("aux", {AUX + name: tensor for name, tensor in example.aux.items()})
    yield _samples(subject)
    yield Port(Y, "y", *_described(example.y), fill=_integers(subject.classes, Y))
    batch = len(example.x)
    yield Port("batch/weight", "weight", (batch,), "float32", _constant(1 / batch))
    for number, each in enumerate(noise):
        name = f"noise/{number}"
        yield Port(name, "noise", each.shape, "float32", _bernoulli(each.keep, name))
    values = subject.optimizer.scalar_values(subject.lr, 0)
    for name, value in zip(subject.optimizer.scalars, values, strict=True):
        yield Port(SCALAR + name, "scalar", (), "float32", _constant(value))


def _tensors(role: Role, group: Mapping[str, Tensor]) -> Iterator[Port]:
    for name, tensor in group.items():
        fill = _fill(tensor, name)
        if fill["kind"] == "constant" and role != "aux" and tensor.is_floating_point():
            fill = _normal(fill["value"], _SPREAD, name)  # weights of 0 or 1 would hide a wrong gradient
        yield Port(name, role, *_described(tensor), fill=fill)


def _states(optimizer: Optimizer, params: Mapping[str, Tensor]) -> Iterator[Port]:
    for name, tensor in params.items():
        for number in range(optimizer.states):
            title = f"state/{number}/{name}"
            positive = isinstance(optimizer, Adam) and number == 1
            fill = _constant(_SECOND_MOMENT) if positive else _normal(0.0, _FIRST_MOMENT, title)
            yield Port(title, "state", *_described(tensor), fill=fill)


def _samples(subject: Subject) -> Port:
    fill = _normal(0.0, 1.0, X) if subject.tokens is None else _integers(subject.tokens, X)
    return Port(X, "x", *_described(subject.example.x), fill=fill)


def _described(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    result = result_of(tensor)
    return result.shape, str(result.dtype)


def _seed(name: str) -> int:
    """A seed for each name, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")


def _constant(value: float) -> Fill:
    return {"kind": "constant", "value": value}


def _normal(mean: float, std: float, name: str) -> Fill:
    return {"kind": "normal", "mean": mean, "std": std, "seed": _seed(name)}


def _integers(below: int, name: str) -> Fill:
    return {"kind": "integers", "below": below, "seed": _seed(name)}


def _bernoulli(keep: float, name: str) -> Fill:
    return {"kind": "bernoulli", "keep": keep, "seed": _seed(name)}


def _fill(tensor: Tensor, name: str) -> Fill:
    """Numbers like those of a tensor: uniform, of zeros and ones, whole, or with its mean and spread."""
    values = tensor.detach().to("cpu", torch.float64)
    low, high = float(values.min()), float(values.max())
    if high - low < _TINY:
        return _constant(low if tensor.is_floating_point() else int(low))
    if bool((values == values.round()).all()) and low >= 0:
        if high == 1:
            return _bernoulli(float(values.mean()), name)
        return _integers(int(high) + 1, name)
    return _normal(float(values.mean()), float(values.std()), name)
