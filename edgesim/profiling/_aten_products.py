"""Matrix products, and the softmax between those of attention."""

from __future__ import annotations

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import translates
from edgesim.profiling._writer import Value


@translates("mm.default")
def mm(e: Emitter, a: Value, b: Value) -> Value:
    """A b of matrices."""
    return e.gemm(a, b)


@translates("bmm.default")
def bmm(e: Emitter, a: Value, b: Value) -> Value:
    """A b of stacks of matrices."""
    return e.matmul(a, b)


@translates("addmm.default")
def addmm(
    e: Emitter, c: Value, a: Value, b: Value, beta: float | Value = 1, alpha: float | Value = 1
) -> Value:
    """Beta c + alpha a b; a factor that is an input goes to the smaller operand."""
    if isinstance(beta, Value):
        c, beta = e.mul(c, beta), 1
    if isinstance(alpha, Value):
        a, b = (e.mul(a, alpha), b) if a.size <= b.size else (a, e.mul(b, alpha))
        alpha = 1
    return e.gemm(a, b, c, alpha=alpha, beta=beta)


@translates("baddbmm.default")
def baddbmm(
    e: Emitter, c: Value, a: Value, b: Value, beta: float | Value = 1, alpha: float | Value = 1
) -> Value:
    """Beta c + alpha a b of stacks of matrices."""
    return e.add(e.times(c, beta), e.times(e.matmul(a, b), alpha))


@translates("dot.default")
def dot(e: Emitter, a: Value, b: Value) -> Value:
    """Inner product of vectors."""
    return e.sum(e.mul(a, b), [0])


@translates("mv.default")
def mv(e: Emitter, a: Value, b: Value) -> Value:
    """Matrix times vector."""
    return e.reshape(e.matmul(a, e.reshape(b, (b.size, 1))), (a.shape[0],))


@translates("_softmax.default", "_safe_softmax.default")
def softmax(e: Emitter, x: Value, axis: int, _half_to_float: bool = False) -> Value:
    """Shares that sum to one along a dimension. Rows that are wholly masked do not occur here."""
    return e.unary("Softmax", x, axis=axis % x.rank)


@translates("_softmax_backward_data.default")
def softmax_backward(e: Emitter, gradient: Value, y: Value, axis: int, _dtype: object) -> Value:
    """Y (g - sum(g y))."""
    weighted = e.mul(gradient, y)
    return e.sub(weighted, e.mul(y, e.sum(weighted, [axis % y.rank], keep=True)))


@translates("_log_softmax.default")
def log_softmax(e: Emitter, x: Value, axis: int, _half_to_float: bool = False) -> Value:
    """Logarithms of shares that sum to one along a dimension."""
    return e.unary("LogSoftmax", x, axis=axis % x.rank)


@translates("_log_softmax_backward_data.default")
def log_softmax_backward(e: Emitter, gradient: Value, y: Value, axis: int, _dtype: object) -> Value:
    """G - exp(y) sum(g)."""
    return e.sub(gradient, e.mul(e.unary("Exp", y), e.sum(gradient, [axis % y.rank], keep=True)))
