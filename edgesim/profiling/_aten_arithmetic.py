"""Arithmetic, comparisons, types and tensors of equal numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import refuse, translates
from edgesim.profiling._writer import BOOL, FLOAT, INT, Value

Number = float | int | Value


def _pair(e: Emitter, a: Number, b: Number) -> tuple[Value, Value]:
    """Both operands as tensors of the type in which the operator works."""
    given = [x.dtype for x in (a, b) if isinstance(x, Value) and x.rank] or [
        x.dtype for x in (a, b) if isinstance(x, Value)
    ]
    floats = FLOAT in given or any(isinstance(x, float) for x in (a, b))
    dtype = FLOAT if floats else max(given, key=lambda kind: kind == INT)
    left, right = (e.cast(x, dtype) if isinstance(x, Value) else e.number(x, dtype) for x in (a, b))
    return left, right


@translates("add.Tensor", "add.Scalar")
def add(e: Emitter, a: Value, b: Number, alpha: float | Value = 1) -> Value:
    """A + alpha b."""
    a, b = _pair(e, a, b)
    if not isinstance(alpha, Value) and alpha == 1:
        return e.add(a, b)
    return e.add(a, e.times(b, alpha))


@translates("sub.Tensor", "sub.Scalar")
def sub(e: Emitter, a: Value, b: Number, alpha: float = 1) -> Value:
    """A - alpha b."""
    a, b = _pair(e, a, b)
    return e.sub(a, b if alpha == 1 else e.times(b, alpha))


@translates("rsub.Scalar", "rsub.Tensor")
def rsub(e: Emitter, a: Value, b: Number, alpha: float = 1) -> Value:
    """B - alpha a."""
    a, b = _pair(e, a, b)
    return e.sub(b, a if alpha == 1 else e.times(a, alpha))


@translates("mul.Tensor", "mul.Scalar")
def mul(e: Emitter, a: Value, b: Number) -> Value:
    """A b."""
    return e.mul(*_pair(e, a, b))


@translates("div.Tensor", "div.Scalar")
def div(e: Emitter, a: Value, b: Number) -> Value:
    """A / b, of integers too."""
    a, b = _pair(e, a, b)
    return e.div(e.cast(a, FLOAT), e.cast(b, FLOAT))


@translates("addcmul.default")
def addcmul(e: Emitter, x: Value, a: Value, b: Value, value: float | Value = 1) -> Value:
    """X + value a b."""
    return e.add(x, e.times(e.mul(a, b), value))


@translates("addcdiv.default")
def addcdiv(e: Emitter, x: Value, a: Value, b: Value, value: float | Value = 1) -> Value:
    """X + value a / b."""
    return e.add(x, e.times(e.div(a, b), value))


@translates("pow.Tensor_Scalar")
def power(e: Emitter, x: Value, exponent: float) -> Value:
    """X ** exponent."""
    if exponent == 2:
        return e.mul(x, x)
    if exponent == 1:
        return x
    if exponent == 0.5:
        return e.unary("Sqrt", x)
    return e.call("Pow", x, e.number(exponent, x.dtype), shape=x.shape, dtype=x.dtype)


@translates("maximum.default")
def maximum(e: Emitter, a: Value, b: Value) -> Value:
    """The larger one."""
    return e.binary("Max", *_pair(e, a, b))


@translates("minimum.default")
def minimum(e: Emitter, a: Value, b: Value) -> Value:
    """The smaller one."""
    return e.binary("Min", *_pair(e, a, b))


# ----------------------------------------------------------------------------------------- comparisons


def _comparison(kind: str) -> Any:
    def compare(e: Emitter, a: Value, b: Number) -> Value:
        return e.compare(kind, *_comparable(e, *_pair(e, a, b)))

    return compare


def _comparable(e: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    return (e.cast(a, INT), e.cast(b, INT)) if a.dtype == BOOL else (a, b)


for _name, _kind in (
    ("gt", "Greater"),
    ("ge", "GreaterOrEqual"),
    ("lt", "Less"),
    ("le", "LessOrEqual"),
    ("eq", "Equal"),
):
    translates(f"{_name}.Tensor", f"{_name}.Scalar")(_comparison(_kind))


@translates("ne.Tensor", "ne.Scalar")
def unequal(e: Emitter, a: Value, b: Number) -> Value:
    """Where the operands differ."""
    return e.unary("Not", e.compare("Equal", *_comparable(e, *_pair(e, a, b))))


@translates("logical_not.default", "bitwise_not.default")
def logical_not(e: Emitter, x: Value) -> Value:
    """Not, of booleans."""
    return e.unary("Not", e.cast(x, BOOL))


@translates("logical_and.default", "bitwise_and.Tensor")
def logical_and(e: Emitter, a: Value, b: Value) -> Value:
    """And, of booleans."""
    return e.compare("And", e.cast(a, BOOL), e.cast(b, BOOL))


@translates("logical_or.default", "bitwise_or.Tensor")
def logical_or(e: Emitter, a: Value, b: Value) -> Value:
    """Or, of booleans."""
    return e.compare("Or", e.cast(a, BOOL), e.cast(b, BOOL))


@translates("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(e: Emitter, condition: Value, a: Number, b: Number) -> Value:
    """Elements of `a` where the condition holds, else of `b`."""
    dtype = e.result.dtype
    a, b = (e.cast(x, dtype) if isinstance(x, Value) else e.number(x, dtype) for x in (a, b))
    return e.where(condition, a, b)


@translates("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(e: Emitter, x: Value, mask: Value, value: Number) -> Value:
    """The tensor, with one number where the mask holds."""
    filler = e.cast(value, x.dtype) if isinstance(value, Value) else e.number(value, x.dtype)
    return e.where(mask, filler, x)


# ----------------------------------------------------------------------------------------- types


@translates("_to_copy.default")
def to_copy(e: Emitter, x: Value) -> Value:
    """In another type."""
    return e.cast(x, e.result.dtype)


@translates(
    "clone.default", "contiguous.default", "alias.default", "detach.default", "lift_fresh_copy.default"
)
def same(e: Emitter, x: Value) -> Value:  # noqa: ARG001
    """The tensor as it is."""
    return x


@translates("copy.default")
def copy(e: Emitter, x: Value, source: Value, non_blocking: bool = False) -> Value:  # noqa: ARG001
    """The source, in the shape and type of what it is copied into."""
    return e.expand(e.cast(source, x.dtype), x.shape)


@translates("fill.Scalar", "zero.default")
def fill(e: Emitter, x: Value, number: float = 0.0) -> Value:
    """The same number everywhere."""
    return e.full(x.shape, number, x.dtype)


@translates(
    "zeros.default",
    "zeros_like.default",
    "new_zeros.default",
    "empty.memory_format",
    "empty_like.default",
    "new_empty.default",
    "new_empty_strided.default",
    "empty_strided.default",
)
def zeros(e: Emitter, *_like: Any) -> Value:
    """Zeros, also where anything would do."""
    return e.full(e.result.shape, 0.0, e.result.dtype)


@translates("ones.default", "ones_like.default", "new_ones.default")
def ones(e: Emitter, *_like: Any) -> Value:
    """Ones."""
    return e.full(e.result.shape, 1.0, e.result.dtype)


@translates("full.default", "scalar_tensor.default")
def full(e: Emitter, first: Any, number: float | None = None) -> Value:
    """One number everywhere."""
    return e.full(e.result.shape, first if number is None else number, e.result.dtype)


@translates("full_like.default", "new_full.default")
def full_like(e: Emitter, _x: Value, *rest: Any) -> Value:
    """One number everywhere."""
    return e.full(e.result.shape, rest[-1], e.result.dtype)


@translates("arange.default", "arange.start", "arange.start_step")
def arange(e: Emitter, *bounds: float) -> Value:
    """Numbers at equal distances."""
    if any(isinstance(bound, Value) for bound in bounds):
        refuse("arange", "has bounds that are tensors; use numbers")
    return e.constant(np.arange(*bounds, dtype=e.result.dtype))
