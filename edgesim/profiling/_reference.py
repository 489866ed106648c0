"""What PyTorch gives for the data of a check: autograd on the objective itself, and its own optimisers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from edgesim.models._attention import attention_as_products
from edgesim.models._recurrent import recurrence_as_products
from edgesim.profiling.steps import AUX, FRESH, LOSS, X, Y
from edgesim.profiling.subjects import Subject
from edgesim.submodels._rule import Rule
from edgesim.training.optimizer import Adam, Optimizer
from edgesim.training.step_plan import frozen_norms_at_rest

Arrays = dict[str, NDArray[Any]]
"""What a graph reads or gives, by name."""

_ONLY_IN_UPDATES = ("state/", "scalar/")  # what a gradient does not depend on


@dataclass(frozen=True)
class Gradients:
    """The gradients of one batch, in a precision.

    Attributes:
        subject: whose they are.
        feeds: the data.
        dtype: the precision.
        loss: of the batch.
        of: gradients by the names of the parameters.
        buffers: after the batch.
    """

    subject: Subject
    feeds: Arrays
    dtype: torch.dtype
    loss: Tensor
    of: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]

    def serve(self, subject: Subject, feeds: Arrays) -> bool:
        """Whether they are those of another subject with these data, too: one that trains fewer layers.

        That is known only where what is frozen runs as if it were trained, and the loss does not look at
        what is trained: without buffers, and under the plain rule with nothing beside the batch.
        """
        known, example = self.subject, subject.example
        return (
            subject.network is known.network
            and subject.objective == known.objective
            and type(subject.objective.rule) is Rule
            and not (example.buffers or example.aux or known.example.aux)
            and example.params.keys() <= self.of.keys()
            and all(
                self.feeds.get(name) is array
                for name, array in feeds.items()
                if not name.startswith(_ONLY_IN_UPDATES)
            )
        )


def differentiated(subject: Subject, feeds: Arrays, dtype: torch.dtype) -> Gradients:
    """The gradients of what a subject trains."""
    example = subject.example
    network = deepcopy(subject.network).to(dtype)
    groups = (example.params, example.frozen, example.buffers)
    params, frozen, buffers = (_tensors(group, feeds, dtype) for group in groups)
    x, y = _tensor(example.x, feeds[X], dtype), torch.from_numpy(feeds[Y]) if Y in feeds else example.y
    weight = torch.full((len(x),), 1 / len(x), dtype=dtype)
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    noise = (feeds[name] for name in sorted(feeds, key=_number) if name.startswith("noise/"))
    precision = "float64" if dtype == torch.float64 else "float32"
    objective = replace(subject.objective, precision=precision)  # type: ignore[arg-type]
    with frozen_norms_at_rest(network, frozen), _plain(noise):
        loss, fresh = objective(network, leaves, frozen, buffers, x, y, weight, _aux(subject, feeds, dtype))
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    of = dict(zip(leaves, gradients, strict=True))
    return Gradients(subject, feeds, dtype, loss.detach(), of, fresh)


def updated(subject: Subject, gradients: Gradients, feeds: Arrays) -> Arrays:
    """Loss and new tensors of one step of rate 1 with PyTorch's optimiser, by the names of the outputs."""
    dtype, objective = gradients.dtype, subject.objective
    leaves = _tensors(subject.example.params, feeds, dtype)
    clipped = objective.clip([gradients.of[name] for name in leaves], stacked=False)
    for leaf, gradient in zip(leaves.values(), clipped, strict=True):
        leaf.grad = gradient.clone()
    states = _optimised(subject.optimizer, leaves, feeds)
    projected = objective.rule.project(leaves, _aux(subject, feeds, dtype))
    changed = {FRESH + name: t for name, t in {**projected, **states, **gradients.buffers}.items()}
    return {name: tensor.numpy() for name, tensor in {LOSS: gradients.loss, **changed}.items()}


def predicted(subject: Subject, feeds: Arrays, dtype: torch.dtype) -> NDArray[Any]:
    """Predictions in evaluation mode."""
    example = subject.example
    groups = (example.params, example.frozen, example.buffers)
    tensors = {name: t for group in groups for name, t in _tensors(group, feeds, dtype).items()}
    network = deepcopy(subject.network).to(dtype).eval()
    with torch.no_grad(), _plain(iter(())):
        output: Tensor = functional_call(network, tensors, (_tensor(example.x, feeds[X], dtype),))
    return output.numpy()


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


# ----------------------------------------------------------------------------------------- data


def _aux(subject: Subject, feeds: Arrays, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: _tensor(like, feeds.get(AUX + name), dtype) for name, like in subject.example.aux.items()}


def _number(name: str) -> int:
    return int(name.removeprefix("noise/")) if name.startswith("noise/") else -1


def _tensors(group: Mapping[str, Tensor], feeds: Arrays, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: _tensor(like, feeds.get(name), dtype) for name, like in group.items()}


def _tensor(like: Tensor, fed: NDArray[Any] | None, dtype: torch.dtype) -> Tensor:
    """What was fed; what the graph does not read is as it was."""
    tensor = like.detach().clone() if fed is None else torch.tensor(fed)  # copied: others are fed with it too
    return tensor.to(dtype) if like.is_floating_point() else tensor


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
