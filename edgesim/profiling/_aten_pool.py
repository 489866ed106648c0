"""Pooling and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import refuse, translates
from edgesim.profiling._writer import INT, Result, Value


def _pair(values: Sequence[int]) -> list[int]:
    return [int(value) for value in values] * (2 // len(values))


def _borders(
    x: Value, window: list[int], stride: list[int], pads: list[int], spread: list[int], out: Sequence[int]
) -> list[int]:
    """ONNX's pads, [before, before, after, after], that make the output as large as it is."""
    after = [
        max(pad, (count - 1) * step + gap * (size - 1) + 1 - length - pad)
        for pad, count, step, gap, size, length in zip(
            pads, out, stride, spread, window, x.shape[-2:], strict=True
        )
    ]
    return [*pads, *after]


@translates("max_pool2d_with_indices.default")
def max_pool(
    e: Emitter,
    x: Value,
    window: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Value, Value]:
    """The largest of each window and where it lies. The places are ONNX's, for the gradient alone."""
    window, pads, spread = _pair(window), _pair(padding), _pair(dilation)
    stride = _pair(stride) if stride else window
    shape = e.results[0].shape
    maps = e.reshape(x, (1, *x.shape)) if x.rank == 3 else x
    results = [Result((*maps.shape[:2], *shape[-2:]), x.dtype), Result((*maps.shape[:2], *shape[-2:]), INT)]
    attributes = {"kernel_shape": window, "strides": stride}
    if any(pads) or ceil_mode:
        attributes["pads"] = _borders(x, window, stride, pads, spread, shape[-2:])
    if spread != [1, 1]:
        attributes["dilations"] = spread
    pooled, places = e.calls("MaxPool", maps, results=results, **attributes)
    return e.reshape(pooled, shape), places


@translates("max_pool2d_with_indices_backward.default")
def max_pool_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    window: Sequence[int],
    stride: Sequence[int],
    _padding: Sequence[int],
    _dilation: Sequence[int],
    _ceil_mode: bool,
    places: Value,
) -> Value:
    """Each window's gradient, where its largest element lies."""
    stride = stride or window
    gradient = e.reshape(gradient, places.shape)
    if all(step >= size for step, size in zip(stride, window, strict=True)):
        whole = x.shape if x.rank == 4 else (1, *x.shape)
        steps = {"kernel_shape": _pair(window), "strides": _pair(stride)}
        unpooled = e.call(
            "MaxUnpool", gradient, places, e.integers(*whole), shape=whole, dtype=x.dtype, **steps
        )
        return e.reshape(unpooled, x.shape)
    flat = [e.reshape(value, (value.size,)) for value in (places, gradient)]
    start = e.full((x.size,), 0.0)
    summed = e.call("ScatterElements", start, *flat, shape=(x.size,), dtype=x.dtype, axis=0, reduction="add")
    return e.reshape(summed, x.shape)


# ----------------------------------------------------------------------------------------- averages


@translates("avg_pool2d.default")
def avg_pool(
    e: Emitter,
    x: Value,
    window: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Value:
    """The mean of each window: a matrix per dimension, as its gradient is then the transposed one."""
    if divisor is not None:
        refuse("avg_pool2d.default", "has divisor_override; leave it None")
    del ceil_mode  # the shape of the result tells
    matrices = _average_matrices(x.shape, e.result.shape, window, stride, padding, count_include_pad)
    return _between(e, x, *(e.constant(matrix) for matrix in matrices))


@translates("avg_pool2d_backward.default")
def avg_pool_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    window: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    _ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Value:
    """Each window's gradient, shared out evenly."""
    if divisor is not None:
        refuse("avg_pool2d_backward.default", "has divisor_override; leave it None")
    matrices = _average_matrices(x.shape, gradient.shape, window, stride, padding, count_include_pad)
    return _between(e, gradient, *(e.constant(matrix.T.copy()) for matrix in matrices))


def _average_matrices(
    whole: Sequence[int],
    pooled: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool,
) -> list[np.ndarray]:
    """Per dimension, the share [pooled, whole] that each element has in each mean."""
    windows, pads = _pair(window), _pair(padding)
    strides = _pair(stride) if stride else windows
    made = []
    for axis in range(2):
        length, count = whole[axis - 2], pooled[axis - 2]
        matrix = np.zeros((count, length), np.float32)
        for row in range(count):
            start = row * strides[axis] - pads[axis]
            end = min(start + windows[axis], length + pads[axis])
            low, high = max(start, 0), min(end, length)
            matrix[row, low:high] = 1 / ((end - start) if count_include_pad else (high - low))
        made.append(matrix)
    return made


def _between(e: Emitter, x: Value, rows: Value, columns: Value) -> Value:
    """Rows x columns' for each map."""
    across = e.matmul(x, e.transpose(columns, (1, 0)))
    return e.matmul(rows, across)


@translates("_adaptive_avg_pool2d.default")
def adaptive_avg_pool(e: Emitter, x: Value, _size: Sequence[int]) -> Value:
    """The mean of each of a given number of windows."""
    if e.result.shape[-2:] == (1, 1):
        return e.reduce("ReduceMean", x, [x.rank - 2, x.rank - 1], keep=True)
    matrices = [_adaptive_matrix(x.shape[axis], e.result.shape[axis]) for axis in (-2, -1)]
    return _between(e, x, *(e.constant(matrix) for matrix in matrices))


@translates("_adaptive_avg_pool2d_backward.default")
def adaptive_avg_pool_backward(e: Emitter, gradient: Value, x: Value) -> Value:
    """Each window's gradient, shared out evenly."""
    if gradient.shape[-2:] == (1, 1):
        return e.expand(e.times(gradient, 1 / (x.shape[-2] * x.shape[-1])), x.shape)
    matrices = [_adaptive_matrix(x.shape[axis], gradient.shape[axis]).T.copy() for axis in (-2, -1)]
    return _between(e, gradient, *(e.constant(matrix) for matrix in matrices))


def _adaptive_matrix(length: int, count: int) -> np.ndarray:
    matrix = np.zeros((count, length), np.float32)
    for row in range(count):
        start, end = row * length // count, -(-(row + 1) * length // count)
        matrix[row, start:end] = 1 / (end - start)
    return matrix


@translates("adaptive_max_pool2d.default")
def adaptive_max_pool(e: Emitter, x: Value, _size: Sequence[int]) -> tuple[Value, Value]:
    """The largest of each of a given number of windows of equal size."""
    shape = e.results[0].shape
    window = [whole // count for whole, count in zip(x.shape[-2:], shape[-2:], strict=True)]
    if any(whole % count for whole, count in zip(x.shape[-2:], shape[-2:], strict=True)):
        refuse(
            "adaptive_max_pool2d.default", "has windows of different sizes; use sizes that divide the map's"
        )
    return max_pool(e, x, window)


@translates("adaptive_max_pool2d_backward.default")
def adaptive_max_pool_backward(e: Emitter, gradient: Value, x: Value, places: Value) -> Value:
    """Each window's gradient, where its largest element lies."""
    window = [whole // count for whole, count in zip(x.shape[-2:], gradient.shape[-2:], strict=True)]
    return max_pool_backward(e, gradient, x, window, window, (0, 0), (1, 1), False, places)


@translates("upsample_nearest2d.default")
def upsample_nearest(e: Emitter, x: Value, _size: Sequence[int], *_scales: float | None) -> Value:
    """Each element repeated, a whole number of times."""
    (rows, columns), (height, width) = _factors(x.shape, e.result.shape), x.shape[-2:]
    spread = e.reshape(x, (*x.shape[:2], height, 1, width, 1))
    return e.reshape(e.expand(spread, (*x.shape[:2], height, rows, width, columns)), e.result.shape)


@translates("upsample_nearest2d_backward.default")
def upsample_nearest_backward(
    e: Emitter, gradient: Value, _size: Sequence[int], shape: Sequence[int], *_scales: float | None
) -> Value:
    """The gradients of an element's copies, summed."""
    rows, columns = _factors(shape, gradient.shape)
    spread = e.reshape(gradient, (*shape[:2], shape[2], rows, shape[3], columns))
    return e.sum(spread, [3, 5])


def _factors(small: Sequence[int], large: Sequence[int]) -> tuple[int, int]:
    pairs = list(zip(large[-2:], small[-2:], strict=True))
    if any(many % few for many, few in pairs):
        refuse("upsample_nearest2d.default", "scales by a fraction; use a whole number")
    rows, columns = (many // few for many, few in pairs)
    return rows, columns
