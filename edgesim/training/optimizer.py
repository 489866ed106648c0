"""SGD and Adam as in-place updates at the end of a step plan's graph. The arithmetic is that of torch.optim.

They are ours because fusing the update into the gradient's matmul is where the speed of a step plan comes
from, and because torch.optim keeps its state inside itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import fx

aten = torch.ops.aten

_PRODUCTS: dict[Any, Any] = {aten.mm.default: aten.addmm_.default, aten.bmm.default: aten.baddbmm_.default}


class GraphWriter:
    """Appends operators to a graph; a gradient that is a matmul nobody else reads is fused with its use."""

    def __init__(self, graph: fx.Graph, parameters: set[fx.Node]) -> None:
        self.graph = graph
        self._of_parameters = _views_of(graph, parameters)

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Append one operator."""
        return self.graph.call_function(target, args, kwargs)

    def accumulate(self, into: fx.Node, gradient: fx.Node, beta: Any, alpha: Any) -> None:
        """In place: into = beta * into + alpha * gradient, with numbers or scalar inputs beta and alpha."""
        fused = _PRODUCTS.get(gradient.target)
        if fused is not None and self._is_own_product(gradient):
            left, right = gradient.args
            self.call(fused, into, left, right, beta=beta, alpha=alpha)
            return
        if not (isinstance(beta, float) and beta == 1.0):
            self.call(aten.mul_.Scalar, into, beta)
        self.call(aten.add_.Tensor, into, gradient, alpha=alpha)

    def _is_own_product(self, gradient: fx.Node) -> bool:
        """Whether the matmul may move to the end: no factor is a parameter, which has changed by then."""
        readers = [user for user in gradient.users if user.op != "output"]
        return not readers and not any(factor in self._of_parameters for factor in gradient.args)


def _views_of(graph: fx.Graph, roots: set[fx.Node]) -> set[fx.Node]:
    """Nodes that may share memory with a root: views of it, and what cannot be told from one."""
    found = set(roots)
    for node in graph.nodes:
        view = isinstance(node.target, torch._ops.OpOverload) and (
            node.target.is_view or node.target is aten.reshape.default
        )
        if view and node.args[0] in found:
            found.add(node)
    return found


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with momentum m = mu m + (g + wd w), w = w - lr m (torch.optim.SGD)."""

    momentum: float = 0.0
    weight_decay: float = 0.0

    scalars: ClassVar[tuple[str, ...]] = ("minus_lr", "keep")

    @property
    def states(self) -> int:
        """Tensors of state per trained parameter (q of algorithms 1.4)."""
        return int(self.momentum > 0)

    def scalar_values(self, lr: float, step: int) -> tuple[float, float]:  # noqa: ARG002  (Adam counts steps)
        """Values of the scalar inputs in one step; `step` counts from 0."""
        return -lr, 1.0 - lr * self.weight_decay

    def update(
        self,
        write: GraphWriter,
        param: fx.Node,
        gradient: fx.Node,
        states: Sequence[fx.Node],
        scalars: Sequence[fx.Node],
    ) -> None:
        """Append the update of one parameter."""
        minus_lr, keep = scalars
        if not states:
            write.accumulate(param, gradient, keep if self.weight_decay else 1.0, minus_lr)
            return
        (momentum,) = states
        write.accumulate(momentum, gradient, self.momentum, 1.0)
        if self.weight_decay:
            write.call(aten.add_.Tensor, momentum, param, alpha=self.weight_decay)
        write.call(aten.add_.Tensor, param, momentum, alpha=minus_lr)


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction and L2 weight decay (Kingma and Ba 2015, algorithm 1; torch.optim.Adam)."""

    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    scalars: ClassVar[tuple[str, ...]] = ("minus_lr", "root_correction")
    states: ClassVar[int] = 2

    def scalar_values(self, lr: float, step: int) -> tuple[float, float]:
        """Values of the scalar inputs in one step; `step` counts from 0."""
        return -lr / (1 - self.beta_1 ** (step + 1)), (1 - self.beta_2 ** (step + 1)) ** 0.5

    def update(
        self,
        write: GraphWriter,
        param: fx.Node,
        gradient: fx.Node,
        states: Sequence[fx.Node],
        scalars: Sequence[fx.Node],
    ) -> None:
        """Append the update of one parameter."""
        minus_lr, root_correction = scalars
        first, second = states
        if self.weight_decay:
            gradient = write.call(aten.add.Tensor, gradient, param, alpha=self.weight_decay)
        write.accumulate(first, gradient, self.beta_1, 1 - self.beta_1)
        write.call(aten.mul_.Scalar, second, self.beta_2)
        write.call(aten.addcmul_.default, second, gradient, gradient, value=1 - self.beta_2)
        root = write.call(aten.div.Scalar, write.call(aten.sqrt.default, second), root_correction)
        denominator = write.call(aten.add.Scalar, root, self.epsilon)
        write.call(aten.addcdiv_.default, param, first, denominator, value=minus_lr)


Optimizer = Sgd | Adam
