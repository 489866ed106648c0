"""Functions of each element, activations above all, and their gradients."""

from __future__ import annotations

import math

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import translates
from edgesim.profiling._writer import Value

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


@translates("celu.default")
def celu(e: Emitter, x: Value, alpha: float = 1.0) -> Value:
    """X where positive, else alpha (exp(x / alpha) - 1); its gradient is that of `elu`."""
    return elu(e, x, alpha, 1.0, 1 / alpha)


@translates("mish.default")
def mish(e: Emitter, x: Value) -> Value:
    """X tanh(softplus(x))."""
    return e.mul(x, e.unary("Tanh", e.unary("Softplus", x)))


@translates("mish_backward.default")
def mish_backward(e: Emitter, gradient: Value, x: Value) -> Value:
    """G (t + x s (1 - t²)) with t = tanh(softplus(x)), s = sigmoid(x)."""
    t = e.unary("Tanh", e.unary("Softplus", x))
    slope = e.mul(e.mul(x, e.unary("Sigmoid", x)), e.sub(e.number(1.0), e.mul(t, t)))
    return e.mul(gradient, e.add(t, slope))


@translates("log_sigmoid_forward.default")
def log_sigmoid(e: Emitter, x: Value) -> tuple[Value, Value]:
    """-softplus(-x), and what its gradient does not need here."""
    y = e.unary("Neg", e.unary("Softplus", e.unary("Neg", x)))
    return y, e.full(e.results[1].shape, 0.0)


@translates("log_sigmoid_backward.default")
def log_sigmoid_backward(e: Emitter, gradient: Value, x: Value, _buffer: Value) -> Value:
    """G sigmoid(-x)."""
    return e.mul(gradient, e.unary("Sigmoid", e.unary("Neg", x)))


@translates("glu.default")
def glu(e: Emitter, x: Value, axis: int = -1) -> Value:
    """One half times the sigmoid of the other."""
    a, b = _halves(e, x, axis)
    return e.mul(a, e.unary("Sigmoid", b))


@translates("glu_backward.default")
def glu_backward(e: Emitter, gradient: Value, x: Value, axis: int) -> Value:
    """G s and g a s (1 - s) with s = sigmoid(b)."""
    a, b = _halves(e, x, axis)
    s = e.unary("Sigmoid", b)
    first = e.mul(gradient, s)
    return e.concat([first, e.mul(e.mul(first, a), e.sub(e.number(1.0), s))], axis % x.rank)


def _halves(e: Emitter, x: Value, axis: int) -> tuple[Value, ...]:
    half = x.shape[axis] // 2
    return e.split(x, [half, half], axis % x.rank)


@translates("_prelu_kernel.default")
def prelu(e: Emitter, x: Value, slope: Value) -> Value:
    """X where positive, else a learned slope times x."""
    return e.where(_positive(e, x), x, e.mul(x, slope))


@translates("_prelu_kernel_backward.default")
def prelu_backward(e: Emitter, gradient: Value, x: Value, slope: Value) -> tuple[Value, Value]:
    """The gradients of the input, and of the slope before it is summed."""
    positive = _positive(e, x)
    return (
        e.where(positive, gradient, e.mul(gradient, slope)),
        e.where(positive, e.number(0.0), e.mul(gradient, x)),
    )
