"""Normalisation and its gradients.

The gradient of y = w u + b with u = (x - mean) r, r = 1 / sqrt(variance + eps), over n elements:

    dx = r (w g - (sum(w g) + u sum(w g u)) / n)      dw = sum(g u)      db = sum(g)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import translates
from edgesim.profiling._writer import Result, Value


def _per_channel(e: Emitter, x: Value, rank: int) -> Value:
    """[channels] as [1, channels, 1, ...], to broadcast against [samples, channels, ...]."""
    return e.reshape(x, (1, x.size) + (1,) * (rank - 2))


def _standardised(e: Emitter, rows: Value, epsilon: float) -> tuple[Value, Value, Value]:
    """U [rows, n], mean and r [rows, 1] of each row."""
    count, size = rows.shape
    results = [Result(rows.shape, rows.dtype), *([Result((count, 1), rows.dtype)] * 2)]
    inputs = (rows, e.full((size,), 1.0), e.full((size,), 0.0))  # onnxruntime 1.17 aborts without a bias
    u, mean, r = e.calls("LayerNormalization", *inputs, results=results, axis=-1, epsilon=float(epsilon))
    return u, mean, r


# ----------------------------------------------------------------------------------------- groups


@translates("native_group_norm.default")
def group_norm(
    e: Emitter,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    samples: int,
    channels: int,
    places: int,
    groups: int,
    epsilon: float,
) -> list[Value]:
    """Each group of channels of each sample by itself."""
    rows = e.reshape(x, (samples * groups, channels // groups * places))
    u, mean, r = _standardised(e, rows, epsilon)
    y = u = e.reshape(u, x.shape)
    if weight is not None:
        y = e.mul(y, _per_channel(e, weight, x.rank))
    if bias is not None:
        y = e.add(y, _per_channel(e, bias, x.rank))
    mean, r = (e.reshape(value, (samples, groups)) for value in (mean, r))
    e.kept[r.name] = u
    return [y, mean, r]


@translates("native_group_norm_backward.default")
def group_norm_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    _mean: Value,
    r: Value,
    weight: Value | None,
    samples: int,
    channels: int,
    places: int,
    groups: int,
    wanted: Sequence[bool],
) -> list[Value | None]:
    """The sums go by channel first: [samples, channels] is small."""
    each = (samples, channels, places)
    g, u = (e.reshape(value, each) for value in (gradient, e.kept[r.name]))
    with_u, alone = e.sum(e.mul(g, u), [2]), e.sum(g, [2])
    dx = None
    if wanted[0]:
        by_group = (samples, groups, channels // groups)
        w = e.full((1, channels), 1.0) if weight is None else e.reshape(weight, (1, channels))
        r = e.reshape(r, (samples, groups, 1))
        share = -groups / (channels * places)
        shift, slope = (
            e.times(e.mul(r, e.sum(e.reshape(e.mul(value, w), by_group), [2], keep=True)), share)
            for value in (alone, with_u)
        )
        scale = e.reshape(e.mul(e.reshape(w, (1, *by_group[1:])), r), (samples, channels, 1))
        slope, shift = (e.reshape(e.expand(v, by_group), (samples, channels, 1)) for v in (slope, shift))
        dx = e.reshape(e.add(e.add(e.mul(g, scale), e.mul(u, slope)), shift), x.shape)
    dw = e.sum(with_u, [0]) if wanted[1] else None
    return [dx, dw, e.sum(alone, [0]) if wanted[2] else None]


# ----------------------------------------------------------------------------------------- layers


@translates("native_layer_norm.default")
def layer_norm(
    e: Emitter, x: Value, over: Sequence[int], weight: Value | None, bias: Value | None, epsilon: float
) -> list[Value]:
    """The last dimensions of each sample."""
    first = x.rank - len(over)
    scale = e.full(over, 1.0) if weight is None else weight
    shift = e.full(over, 0.0) if bias is None else bias
    statistics = Result((*x.shape[:first], *([1] * len(over))), x.dtype)
    results = [Result(x.shape, x.dtype), statistics, statistics]
    attributes = {"axis": first, "epsilon": float(epsilon)}
    y, mean, r = e.calls("LayerNormalization", x, scale, shift, results=results, **attributes)
    return [y, mean, r]


@translates("native_layer_norm_backward.default")
def layer_norm_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    over: Sequence[int],
    mean: Value,
    r: Value,
    weight: Value | None,
    _bias: Value | None,
    wanted: Sequence[bool],
) -> list[Value | None]:
    """The gradient per row, and sums over rows."""
    first = x.rank - len(over)
    inner, outer = list(range(first, x.rank)), list(range(first))
    u = e.mul(e.sub(x, mean), r)
    weighted = gradient if weight is None else e.mul(gradient, weight)
    dx = None
    if wanted[0]:
        shift = e.reduce("ReduceMean", weighted, inner, keep=True)
        slope = e.reduce("ReduceMean", e.mul(weighted, u), inner, keep=True)
        dx = e.mul(r, e.sub(e.sub(weighted, shift), e.mul(u, slope)))
    dw = e.sum(e.mul(gradient, u), outer) if wanted[1] else None
    return [dx, dw, e.sum(gradient, outer) if wanted[2] else None]


# ----------------------------------------------------------------------------------------- batches


@translates("native_batch_norm.default")
def batch_norm(
    e: Emitter,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_variance: Value | None,
    training: bool,
    momentum: float,
    epsilon: float,
) -> list[Value | None]:
    """Each channel over the batch, or by its running statistics; the new ones of these come last."""
    if not training:
        assert running_mean is not None
        assert running_variance is not None
        off = e.sub(x, _per_channel(e, running_mean, x.rank))
        y = _affine(e, off, _root(e, running_variance, epsilon), weight, bias)
        nothing = e.full((0,), 0.0)
        return [y, nothing, nothing, running_mean, running_variance]
    axes = [0, *range(2, x.rank)]
    mean = e.reduce("ReduceMean", x, axes, keep=True)
    off = e.sub(x, mean)
    variance = e.reshape(e.reduce("ReduceMean", e.mul(off, off), axes, keep=True), (x.shape[1],))
    r = _root(e, variance, epsilon)
    e.kept[r.name] = off
    mean = e.reshape(mean, (x.shape[1],))
    count = x.size // x.shape[1]
    unbiased = e.times(variance, count / max(count - 1, 1))
    statistics = [
        None if old is None else e.add(e.times(old, 1 - momentum), e.times(new, momentum))
        for old, new in ((running_mean, mean), (running_variance, unbiased))
    ]
    return [_affine(e, off, r, weight, bias), mean, r, *statistics]


def _root(e: Emitter, variance: Value, epsilon: float) -> Value:
    return e.unary("Reciprocal", e.unary("Sqrt", e.plus(variance, epsilon)))


def _affine(e: Emitter, off: Value, r: Value, weight: Value | None, bias: Value | None) -> Value:
    y = e.mul(off, _per_channel(e, r if weight is None else e.mul(r, weight), off.rank))
    return y if bias is None else e.add(y, _per_channel(e, bias, off.rank))


@translates("native_batch_norm_backward.default")
def batch_norm_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    weight: Value | None,
    running_mean: Value | None,
    running_variance: Value | None,
    _mean: Value | None,
    r: Value | None,
    training: bool,
    epsilon: float,
    wanted: Sequence[bool],
) -> list[Value | None]:
    """With running statistics, mean and variance are constants."""
    if training:
        assert r is not None
        off = e.kept[r.name]
    else:
        assert running_mean is not None
        assert running_variance is not None
        r = _root(e, running_variance, epsilon)
        off = e.sub(x, _per_channel(e, running_mean, x.rank))
    axes = [0, *range(2, x.rank)]
    with_off, alone = e.sum(e.mul(gradient, off), axes), e.sum(gradient, axes)
    dx = None
    if wanted[0]:
        scale = r if weight is None else e.mul(r, weight)
        dx = e.mul(gradient, _per_channel(e, scale, x.rank))
        if training:
            share = -1 / math.prod(x.shape[axis] for axis in axes)
            slope = e.times(e.mul(e.mul(scale, with_off), e.mul(r, r)), share)
            shift = e.times(e.mul(scale, alone), share)
            dx = e.add(e.add(dx, e.mul(off, _per_channel(e, slope, x.rank))), _per_channel(e, shift, x.rank))
    dw = e.mul(with_off, r) if wanted[1] else None
    return [dx, dw, alone if wanted[2] else None]
