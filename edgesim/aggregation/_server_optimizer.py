"""The server's optimiser: an aggregation proposes a change, the optimiser decides how far to go along it.

The change is taken for a negative gradient (Reddi et al. 2021, "Adaptive Federated Optimization", algorithm
2; algorithms 3.13). Each coordinate goes through the optimiser in the aggregations that trained it, and in no
other: where nobody trained it neither its value nor its state moves, nor does it count a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import Field

from edgesim.papers import ADAM, ADAPTIVE_OPTIMIZATION, Paper
from edgesim.registry import Named, component
from edgesim.yaml_source import Positive

if TYPE_CHECKING:
    from torch import Tensor

Moments: TypeAlias = "Mapping[str, tuple[Tensor, ...]]"
"""State of a server optimiser: per parameter some tensors, all of its shape; empty at the start."""


@dataclass(frozen=True)
class Change:
    """What an aggregation would do to one tensor.

    Attributes:
        step: what is to be added to it; minus the pseudo-gradient.
        trained: where anybody trained it, the rest of `step` being without meaning; null where everywhere.
        is_statistic: it is no parameter but a norm's running statistic, and added as it is.
    """

    step: Tensor
    trained: Tensor | None = None
    is_statistic: bool = False


@component
class ServerSgd:
    """Gradient descent with momentum: u = momentum u + g, W = W - learning_rate u (torch.optim.SGD).

    Attributes:
        learning_rate: eta_g. At 1 and without momentum the aggregation is taken as it is.
        momentum: share of the previous direction that is kept.
    """

    learning_rate: Positive = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def states(self) -> int:
        """Tensors of state per parameter."""
        return int(self.momentum > 0)

    def step(self, before: Tensor, step: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tensor after a step along `step`, then its state."""
        direction = self.momentum * state[0] + step if state else step
        return before.add(direction, alpha=self.learning_rate), *((direction,) if state else ())


@component
class ServerAdam:
    """Adam with bias correction (Kingma and Ba 2015, algorithm 1; torch.optim.Adam).

    Attributes:
        learning_rate: eta_g; no value suits all problems, so none is given.
        beta1: decay of the mean of the gradients.
        beta2: decay of the mean of their squares.
        epsilon: added to the root. Reddi et al. hold 1e-3 for best with pseudo-gradients; torch has 1e-8.
    """

    papers: ClassVar[tuple[Paper, ...]] = (ADAPTIVE_OPTIMIZATION, ADAM)

    learning_rate: Positive
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.99
    epsilon: Positive = 1e-3

    @property
    def states(self) -> int:
        """Tensors of state per parameter: both means, and how often each coordinate was trained."""
        return 3

    def step(self, before: Tensor, step: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tensor after a step along `step`, then its state."""
        mean, square, count = state
        mean = self.beta1 * mean + (1 - self.beta1) * step
        square = self.beta2 * square + (1 - self.beta2) * step.square()
        count = count + 1
        root = (square / _one_minus_power(self.beta2, count)).sqrt()
        direction = mean / _one_minus_power(self.beta1, count) / (root + self.epsilon)
        return before.add(direction, alpha=self.learning_rate), mean, square, count


def _one_minus_power(beta: float, count: Tensor) -> Tensor:
    """1 - beta^count, without the cancellation that float32 would suffer."""
    return -(count * math.log(beta)).expm1()


_OPTIMIZERS: dict[str, type[Any]] = {"sgd": ServerSgd, "adam": ServerAdam}
ServerOptimizer = Annotated[ServerSgd | ServerAdam, Named(lambda: _OPTIMIZERS, "server optimizer")]

_AS_IT_IS = ServerSgd()


def apply(
    optimizer: ServerSgd | ServerAdam,
    weights: Mapping[str, Tensor],
    changes: Mapping[str, Change],
    moments: Moments,
) -> tuple[dict[str, Tensor], Moments]:
    """The next version and the optimiser's next state; what goes in is left as it was.

    Args:
        optimizer: of the parameters; statistics take their change as it is.
        weights: the model before.
        changes: of the tensors that were trained.
        moments: what the previous call gave; empty at first.
    """
    after, kept = dict(weights), dict(moments)
    for name, change in changes.items():
        rule = _AS_IT_IS if change.is_statistic else optimizer
        before = weights[name]
        state = moments.get(name) or tuple(before.new_zeros(before.shape) for _ in range(rule.states))
        stepped = rule.step(before, change.step, state)
        after[name], *fresh = _only_where(change.trained, stepped, (before, *state))
        if fresh:
            kept[name] = tuple(fresh)
    return after, kept


def _only_where(
    trained: Tensor | None, new: tuple[Tensor, ...], old: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    import torch

    if trained is None:
        return new
    return tuple(torch.where(trained, now, then) for now, then in zip(new, old, strict=True))
