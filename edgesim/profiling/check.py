"""Every graph held against PyTorch on fresh random data, in single and in double precision.

    loss                  |ort - torch64| <= 1e-5 of the loss, or of 1 where that is larger
    update and states     per tensor |ort - torch64| <= max(1e-4 scale, 4 |torch32 - torch64|, 1e-6)

`scale` is the largest element of the tensor's change, and the other differences are largest ones too. It is
the update that is judged and not the new parameter, which hides wrong gradients. The reference is autograd on
the objective itself with PyTorch's own optimisers: no part of the traced step.

A rectifier whose argument is all but zero may be open in one implementation and shut in another; then both
are right, and the update differs by more than rounding. So a graph that misses the bound is tried on other
data, and only one that misses it on all of them is wrong. The first data are judged without torch32: most
graphs pass so, and those that do not mostly pass on the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from edgesim.models._attention import attention_as_products
from edgesim.models._recurrent import recurrence_as_products
from edgesim.profiling.runner.fills import draw
from edgesim.profiling.steps import AUX, FRESH, LOSS, OUTPUT, SCALAR, Exported, Port, X, Y
from edgesim.profiling.subjects import Subject
from edgesim.training.optimizer import Adam, Optimizer
from edgesim.training.step_plan import frozen_norms_at_rest

LOSS_TOLERANCE = 1e-5
TOLERANCE = 1e-4
ROUNDINGS = 4.0
FLOOR = 1e-6
DRAWS = 3

_FIRST_SEED = 1 << 32  # beyond those of the manifest, so that the data are fresh

Arrays = dict[str, NDArray[Any]]

_Reference = Callable[[Arrays, torch.dtype], Arrays]
"""What PyTorch gives for the same data in a precision, by the names of the graph's outputs."""


@dataclass(frozen=True)
class Check:
    """How far a graph is from PyTorch.

    Attributes:
        loss_error: |ort - torch64|, in units of the loss where that is above 1.
        update_error: the worst of |ort - torch64| over its bound, of all tensors; at most 1 where it passes.
        tensor: which that is.
        draws: on how many data it was tried.
    """

    loss_error: float
    update_error: float
    tensor: str
    draws: int = 1

    @property
    def passed(self) -> bool:
        """Whether all is within the tolerance."""
        return self.loss_error <= LOSS_TOLERANCE and self.update_error <= 1.0


@dataclass
class Fresh:
    """Data that graphs are checked on: the fills of the manifest with other seeds.

    Graphs of one network read mostly the same, so what the last one was fed is kept.
    """

    _fed: dict[int, dict[object, NDArray[Any]]] = field(default_factory=dict)

    def feeds(self, ports: Sequence[Port], draws: int) -> Arrays:
        """What the inputs are fed with, by name; other data for each number of draws."""
        known, self._fed[draws] = self._fed.get(draws, {}), {}
        feeds = {}
        for port in ports:
            assert port.fill is not None
            fill = dict(port.fill)
            if "seed" in fill:
                fill["seed"] = _FIRST_SEED * draws + fill["seed"]
            key = *fill.items(), port.shape, port.dtype
            if key not in known:
                known[key] = np.asarray(draw(fill, port.shape, port.dtype))
            feeds[port.name] = self._fed[draws][key] = known[key]
        return feeds


def check_step(exported: Exported, subject: Subject, fresh: Fresh) -> Check:
    """Run a training step by onnxruntime and by PyTorch on the same fresh data."""
    ports = _at_unit_rate(exported.inputs, subject.optimizer)
    return _first_passed(exported, ports, lambda feeds, dtype: _reference(subject, feeds, dtype), fresh)


def check_inference(exported: Exported, subject: Subject, fresh: Fresh) -> Check:
    """Run a forward pass by onnxruntime and by PyTorch on the same fresh data."""
    ports = exported.inputs
    return _first_passed(exported, ports, lambda feeds, dtype: _forward(subject, feeds, dtype), fresh)


def _at_unit_rate(ports: Sequence[Port], optimizer: Optimizer) -> list[Port]:
    """With a learning rate of 1: the rounding of the new parameter does not hide its change then."""
    values = dict(zip(optimizer.scalars, optimizer.scalar_values(1.0, 0), strict=True))
    return [
        replace(port, fill={"kind": "constant", "value": values[port.name.removeprefix(SCALAR)]})
        if port.role == "scalar"
        else port
        for port in ports
    ]


def _first_passed(exported: Exported, ports: Sequence[Port], reference: _Reference, fresh: Fresh) -> Check:
    session = _session(exported)
    for draws in range(1, DRAWS + 1):
        feeds = fresh.feeds(ports, draws)
        given = _run(session, exported, feeds)
        found = replace(_compared(given, feeds, reference, rounded=draws > 1), draws=draws)
        if found.passed:
            break
    return found


def _compared(given: Arrays, feeds: Arrays, reference: _Reference, *, rounded: bool) -> Check:
    """What onnxruntime gave held against PyTorch; `rounded` bounds allow for the rounding of torch32."""
    double = reference(feeds, torch.float64)
    names = [name for name in given if name != LOSS]
    errors = {name: _largest(given[name] - double[name]) for name in names}
    changes = {name: double[name] - feeds.get(name.removeprefix(FRESH), 0.0) for name in names}
    bounds = {name: max(TOLERANCE * _largest(change), FLOOR) for name, change in changes.items()}
    if rounded and any(errors[name] > bounds[name] for name in names):
        single = reference(feeds, torch.float32)
        rounding = {name: _largest(single[name] - double[name]) for name in names}
        bounds = {name: max(bound, ROUNDINGS * rounding[name]) for name, bound in bounds.items()}
    ratios = {name: errors[name] / bounds[name] for name in names}
    tensor = max(names, key=ratios.__getitem__)
    loss = float(double.get(LOSS, np.zeros(())))
    loss_error = abs(float(given.get(LOSS, loss)) - loss) / max(1.0, abs(loss))
    return Check(loss_error, ratios[tensor], tensor)


def _largest(difference: NDArray[Any]) -> float:
    """Largest absolute value; infinite where anything is no number."""
    found = float(np.abs(difference).max(initial=0.0))
    return found if np.isfinite(found) else math.inf


def _session(exported: Exported) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    content = exported.model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, exported: Exported, feeds: Arrays) -> Arrays:
    names = [port.name for port in exported.outputs]
    read = {port.name: feeds[port.name] for port in exported.inputs}
    return dict(zip(names, session.run(names, read), strict=True))


# ----------------------------------------------------------------------------------------- PyTorch


class _Drawn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Random operators give what was drawn beforehand, in the order in which they run."""

    def __init__(self, noise: Iterator[NDArray[Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._noise = noise

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].copy_(torch.from_numpy(next(self._noise)))
        return func(*args, **(kwargs or {}))


@contextmanager
def _plain(noise: Iterator[NDArray[Any]]) -> Iterator[None]:
    with attention_as_products(), recurrence_as_products(), _Drawn(noise):
        yield


def _reference(subject: Subject, feeds: Arrays, dtype: torch.dtype) -> Arrays:
    """Loss and new tensors of one step, by autograd on the objective and PyTorch's optimiser."""
    example = subject.example
    network = deepcopy(subject.network).to(dtype)
    groups = (example.params, example.frozen, example.buffers)
    params, frozen, buffers = (_tensors(group, feeds, dtype) for group in groups)
    aux = {name: _tensor(like, feeds.get(AUX + name), dtype) for name, like in example.aux.items()}
    x, y = _tensor(example.x, feeds[X], dtype), torch.from_numpy(feeds[Y]) if Y in feeds else example.y
    weight = torch.full((len(x),), 1 / len(x), dtype=dtype)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    noise = (feeds[name] for name in sorted(feeds, key=_number) if name.startswith("noise/"))
    precision = "float64" if dtype == torch.float64 else "float32"
    objective = replace(subject.objective, precision=precision)  # type: ignore[arg-type]
    with frozen_norms_at_rest(network, frozen), _plain(noise):
        loss, fresh = objective(network, leaves, frozen, buffers, x, y, weight, aux)
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    for leaf, gradient in zip(leaves.values(), objective.clip(gradients, stacked=False), strict=True):
        leaf.grad = gradient
    states = _optimised(subject.optimizer, leaves, feeds)
    projected = objective.rule.project({name: leaf.detach() for name, leaf in leaves.items()}, aux)
    found = {LOSS: loss.detach(), **{FRESH + name: t for name, t in {**projected, **states, **fresh}.items()}}
    return {name: tensor.numpy() for name, tensor in found.items()}


def _number(name: str) -> int:
    return int(name.removeprefix("noise/")) if name.startswith("noise/") else -1


def _tensors(group: Mapping[str, Tensor], feeds: Arrays, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: _tensor(like, feeds.get(name), dtype) for name, like in group.items()}


def _tensor(like: Tensor, fed: NDArray[Any] | None, dtype: torch.dtype) -> Tensor:
    """What was fed; what the graph does not read is as it was."""
    tensor = like.detach().clone() if fed is None else torch.tensor(fed)  # copied: others are fed with it too
    return tensor.to(dtype) if like.is_floating_point() else tensor


def _optimised(optimizer: Optimizer, leaves: Mapping[str, Tensor], feeds: Arrays) -> dict[str, Tensor]:
    """Let PyTorch's optimiser take a step of rate 1 from the states that were fed; the new states."""
    values = list(leaves.values())
    made: torch.optim.Optimizer
    if isinstance(optimizer, Adam):
        betas = optimizer.beta_1, optimizer.beta_2
        keys = ["exp_avg", "exp_avg_sq"]
        made = torch.optim.Adam(
            values, lr=1.0, betas=betas, eps=optimizer.epsilon, weight_decay=optimizer.weight_decay
        )
    else:
        keys = ["momentum_buffer"] * optimizer.states
        made = torch.optim.SGD(
            values, lr=1.0, momentum=optimizer.momentum, weight_decay=optimizer.weight_decay
        )
    for name, leaf in leaves.items():
        given = [torch.from_numpy(feeds[f"state/{n}/{name}"]).to(leaf.dtype) for n in range(optimizer.states)]
        made.state[leaf] = {
            "step": torch.tensor(0.0),
            **dict(zip(keys, map(Tensor.clone, given), strict=True)),
        }
    made.step()
    return {
        f"state/{number}/{name}": made.state[leaf][key]
        for name, leaf in leaves.items()
        for number, key in enumerate(keys)
    }


def _forward(subject: Subject, feeds: Arrays, dtype: torch.dtype) -> Arrays:
    """Predictions in evaluation mode."""
    example = subject.example
    groups = (example.params, example.frozen, example.buffers)
    tensors = {name: t for group in groups for name, t in _tensors(group, feeds, dtype).items()}
    network = deepcopy(subject.network).to(dtype).eval()
    with torch.no_grad(), _plain(iter(())):
        output: Tensor = functional_call(network, tensors, (_tensor(example.x, feeds[X], dtype),))
    return {OUTPUT: output.numpy()}
