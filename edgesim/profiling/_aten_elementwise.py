"""Operators that act on each element, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgesim.profiling._emit import BOOL, FLOAT, INT, Emitter, Value
from edgesim.profiling._table import refuse, translates

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


# ----------------------------------------------------------------------------------------- functions

for _name, _kind in (
    ("abs", "Abs"),
    ("exp", "Exp"),
    ("log", "Log"),
    ("sqrt", "Sqrt"),
    ("reciprocal", "Reciprocal"),
    ("sigmoid", "Sigmoid"),
    ("tanh", "Tanh"),
    ("relu", "Relu"),
    ("sign", "Sign"),
    ("sgn", "Sign"),
    ("erf", "Erf"),
    ("floor", "Floor"),
    ("ceil", "Ceil"),
    ("sin", "Sin"),
    ("cos", "Cos"),
):
    translates(f"{_name}.default")(lambda e, x, kind=_kind: e.unary(kind, x))


@translates("neg.default")
def neg(e: Emitter, x: Value) -> Value:
    """-x."""
    return e.full(x.shape, -x.fill, x.dtype) if x.fill is not None else e.unary("Neg", x)


@translates("rsqrt.default")
def rsqrt(e: Emitter, x: Value) -> Value:
    """1 / sqrt(x)."""
    return e.unary("Reciprocal", e.unary("Sqrt", x))


@translates("clamp.default", "hardtanh.default")
def clamp(
    e: Emitter, x: Value, low: float | None = None, high: float | None = None, **limits: float
) -> Value:
    """Brought within limits; without any, those of hardtanh."""
    low, high = limits.get("min", low), limits.get("max", high)
    if low is None and high is None:
        low, high = -1.0, 1.0
    ends = [None if end is None else e.number(end, x.dtype) for end in (low, high)]
    return e.call("Clip", x, *(ends if ends[1] else ends[:1]), shape=x.shape, dtype=x.dtype)


@translates("leaky_relu.default")
def leaky_relu(e: Emitter, x: Value, slope: float = 0.01) -> Value:
    """X where positive, else slope x."""
    return e.unary("LeakyRelu", x, alpha=float(slope))


@translates("elu.default")
def elu(e: Emitter, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    """SELU, CELU and ELU."""
    below = e.times(e.plus(e.unary("Exp", e.times(x, input_scale)), -1.0), alpha * scale)
    return e.where(_positive(e, x), e.times(x, scale), below)


@translates("gelu.default")
def gelu(e: Emitter, x: Value, approximate: str = "none") -> Value:
    """X times the normal distribution function, or its approximation by tanh."""
    return e.mul(x, _gelu_gate(e, x, approximate))


def _gelu_gate(e: Emitter, x: Value, approximate: str) -> Value:
    if approximate == "tanh":
        return e.times(e.plus(e.unary("Tanh", _gelu_inner(e, x)), 1.0), 0.5)
    return e.times(e.plus(e.unary("Erf", e.times(x, math.sqrt(0.5))), 1.0), 0.5)


def _gelu_inner(e: Emitter, x: Value) -> Value:
    cubed = e.times(e.mul(x, e.mul(x, x)), 0.044715)
    return e.times(e.add(x, cubed), math.sqrt(2 / math.pi))


@translates("silu.default")
def silu(e: Emitter, x: Value) -> Value:
    """X sigmoid(x)."""
    return e.mul(x, e.unary("Sigmoid", x))


@translates("hardsigmoid.default")
def hardsigmoid(e: Emitter, x: Value) -> Value:
    """min(max(x / 6 + 1/2, 0), 1)."""
    return e.unary("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@translates("hardswish.default")
def hardswish(e: Emitter, x: Value) -> Value:
    """X hardsigmoid(x)."""
    return e.mul(x, hardsigmoid(e, x))


@translates("softplus.default")
def softplus(e: Emitter, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    """log(1 + exp(beta x)) / beta; x where beta x is large."""
    scaled = e.times(x, beta)
    return e.where(
        e.compare("Greater", scaled, e.number(threshold)), x, e.times(e.unary("Softplus", scaled), 1 / beta)
    )


# ----------------------------------------------------------------------------------------- gradients


def _positive(e: Emitter, x: Value) -> Value:
    return e.compare("Greater", x, e.number(0.0))


def _masked(e: Emitter, gradient: Value, condition: Value) -> Value:
    """The gradient where the condition holds, else 0."""
    return e.where(condition, gradient, e.number(0.0))


@translates("threshold_backward.default")
def threshold_backward(e: Emitter, gradient: Value, x: Value, threshold: float) -> Value:
    """The gradient of a rectifier."""
    return _masked(e, gradient, e.compare("Greater", x, e.number(threshold)))


@translates("hardtanh_backward.default")
def hardtanh_backward(e: Emitter, gradient: Value, x: Value, low: float, high: float) -> Value:
    """The gradient within the limits."""
    inside = e.compare("And", e.compare("Greater", x, e.number(low)), e.compare("Less", x, e.number(high)))
    return _masked(e, gradient, inside)


@translates("sigmoid_backward.default")
def sigmoid_backward(e: Emitter, gradient: Value, y: Value) -> Value:
    """G y (1 - y)."""
    return e.mul(gradient, e.sub(y, e.mul(y, y)))


@translates("tanh_backward.default")
def tanh_backward(e: Emitter, gradient: Value, y: Value) -> Value:
    """G (1 - y²)."""
    return e.sub(gradient, e.mul(gradient, e.mul(y, y)))


@translates("silu_backward.default")
def silu_backward(e: Emitter, gradient: Value, x: Value) -> Value:
    """G s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = e.unary("Sigmoid", x)
    y = e.mul(x, s)
    return e.mul(gradient, e.add(s, e.sub(y, e.mul(y, s))))


@translates("gelu_backward.default")
def gelu_backward(e: Emitter, gradient: Value, x: Value, approximate: str = "none") -> Value:
    """G (gate + x gate')."""
    gate = _gelu_gate(e, x, approximate)
    if approximate == "tanh":
        tanh = e.unary("Tanh", _gelu_inner(e, x))
        inner = e.times(e.plus(e.times(e.mul(x, x), 3 * 0.044715), 1.0), math.sqrt(0.5 / math.pi))
        slope = e.mul(e.sub(e.number(1.0), e.mul(tanh, tanh)), inner)
    else:
        slope = e.times(e.unary("Exp", e.times(e.mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return e.mul(gradient, e.add(gate, e.mul(x, slope)))


@translates("hardsigmoid_backward.default")
def hardsigmoid_backward(e: Emitter, gradient: Value, x: Value) -> Value:
    """G / 6 between -3 and 3."""
    return e.times(hardtanh_backward(e, gradient, x, -3.0, 3.0), 1 / 6)


@translates("hardswish_backward.default")
def hardswish_backward(e: Emitter, gradient: Value, x: Value) -> Value:
    """G (x / 3 + 1/2) between -3 and 3, g above, 0 below: the slope, brought to 0 and 1 outside."""
    inner = e.plus(e.times(x, 1 / 3), 0.5)
    below = e.compare("Less", x, e.number(-3.0))
    above = e.compare("Greater", x, e.number(3.0))
    slope = e.where(below, e.number(0.0), e.where(above, e.number(1.0), inner))
    return e.mul(gradient, slope)


@translates("leaky_relu_backward.default")
def leaky_relu_backward(e: Emitter, gradient: Value, x: Value, slope: float, _is_result: bool) -> Value:
    """G where x is positive, else slope g."""
    return e.where(_positive(e, x), gradient, e.times(gradient, slope))


@translates("elu_backward.default")
def elu_backward(
    e: Emitter,
    gradient: Value,
    alpha: float,
    scale: float,
    input_scale: float,
    is_result: bool,
    x: Value,
) -> Value:
    """The gradient of `elu`."""
    if is_result:
        below = e.times(e.plus(x, alpha * scale), input_scale)
    else:
        below = e.times(e.unary("Exp", e.times(x, input_scale)), alpha * scale * input_scale)
    return e.mul(gradient, e.where(_positive(e, x), e.number(scale), below))


@translates("softplus_backward.default")
def softplus_backward(e: Emitter, gradient: Value, x: Value, beta: float, threshold: float) -> Value:
    """G sigmoid(beta x); g where beta x is large."""
    scaled = e.times(x, beta)
    large = e.compare("Greater", scaled, e.number(threshold))
    return e.where(large, gradient, e.mul(gradient, e.unary("Sigmoid", scaled)))


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
