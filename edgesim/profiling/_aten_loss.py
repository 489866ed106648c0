"""Losses that ATen has an operator for."""

from __future__ import annotations

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import refuse, translates
from edgesim.profiling._writer import Value


@translates("binary_cross_entropy_with_logits.default")
def binary_cross_entropy_with_logits(
    e: Emitter,
    x: Value,
    target: Value,
    weight: Value | None = None,
    positive: Value | None = None,
    reduction: int = 1,
) -> Value:
    """max(x, 0) - x target + log(1 + exp(-|x|)) of each element."""
    if weight is not None or positive is not None or reduction != 0:
        refuse("binary_cross_entropy_with_logits.default", "has weights or a reduction; use neither")
    tail = e.unary("Log", e.plus(e.unary("Exp", e.unary("Neg", e.unary("Abs", x))), 1.0))
    return e.add(e.sub(e.unary("Relu", x), e.mul(x, target)), tail)
