"""Operators that move elements: views, joins, look-ups, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import refuse, translates
from edgesim.profiling._writer import INT, Value

_END = 2**31  # beyond every tensor: how a slice is written that goes to the end


@translates(
    "reshape.default",
    "view.default",
    "_unsafe_view.default",
    "squeeze.default",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
)
def reshape(e: Emitter, x: Value, *_shape: object) -> Value:
    """The same elements in the shape of the result."""
    return e.reshape(x, e.result.shape)


@translates("expand.default")
def expand(e: Emitter, x: Value, *_shape: object) -> Value:
    """Repeated along dimensions of size one, and new ones in front."""
    shape = e.result.shape
    return e.expand(e.reshape(x, (1,) * (len(shape) - x.rank) + x.shape), shape)


@translates("t.default")
def t(e: Emitter, x: Value) -> Value:
    """A matrix transposed; a vector as it is."""
    return e.transpose(x, range(x.rank)[::-1])


@translates("transpose.int", "transpose.default")  # the one in place has another name
def transpose(e: Emitter, x: Value, first: int, second: int) -> Value:
    """Two dimensions swapped."""
    order = list(range(x.rank))
    order[first], order[second] = order[second], order[first]
    return e.transpose(x, order)


@translates("permute.default")
def permute(e: Emitter, x: Value, order: Sequence[int]) -> Value:
    """Dimensions in another order."""
    return e.transpose(x, [axis % x.rank for axis in order])


@translates("slice.Tensor")
def slice_(
    e: Emitter, x: Value, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    """x[start:end:step] along a dimension."""
    axis %= x.rank
    low, high, _ = slice(start, end).indices(x.shape[axis])
    return e.slice(x, axis, low, high, step)


@translates("slice_backward.default")
def slice_backward(
    e: Emitter, gradient: Value, shape: Sequence[int], axis: int, start: int, end: int, step: int
) -> Value:
    """The gradient where it was cut from, else 0."""
    axis %= len(shape)
    if step != 1:
        refuse("slice_backward.default", f"has a step of {step}; use slices without steps")
    low, high, _ = slice(start, end).indices(shape[axis])
    return _placed(e, gradient, axis, low, shape[axis] - high)


def _placed(e: Emitter, x: Value, axis: int, before: int, after: int) -> Value:
    """With zeros before and after along a dimension."""
    low, high = [0] * x.rank, [0] * x.rank
    low[axis], high[axis] = before, after
    return e.pad(x, low, high)


@translates("select.int")
def select(e: Emitter, x: Value, axis: int, index: int) -> Value:
    """x[index] along a dimension."""
    axis, index = axis % x.rank, index % x.shape[axis]
    taken = e.slice(x, axis, index, index + 1)
    return e.reshape(taken, (*x.shape[:axis], *x.shape[axis + 1 :]))


@translates("select_backward.default")
def select_backward(e: Emitter, gradient: Value, shape: Sequence[int], axis: int, index: int) -> Value:
    """The gradient at the index, else 0."""
    axis, index = axis % len(shape), index % shape[axis]
    gradient = e.reshape(gradient, (*shape[:axis], 1, *shape[axis + 1 :]))
    return _placed(e, gradient, axis, index, shape[axis] - index - 1)


@translates("cat.default")
def cat(e: Emitter, parts: Sequence[Value], axis: int = 0) -> Value:
    """One after the other."""
    parts = [e.cast(part, e.result.dtype) for part in parts if part.shape != (0,)]
    return e.concat(parts, axis % parts[0].rank)


@translates("stack.default")
def stack(e: Emitter, parts: Sequence[Value], axis: int = 0) -> Value:
    """Side by side along a new dimension."""
    axis %= parts[0].rank + 1
    shape = (*parts[0].shape[:axis], 1, *parts[0].shape[axis:])
    return e.concat([e.reshape(part, shape) for part in parts], axis)


@translates(
    "split.Tensor", "unsafe_split.Tensor", "split_with_sizes.default", "unsafe_split_with_sizes.default"
)
def split(e: Emitter, x: Value, _sizes: object, axis: int = 0) -> tuple[Value, ...]:
    """Pieces along a dimension."""
    axis %= x.rank
    return e.split(x, [result.shape[axis] for result in e.results], axis)


@translates("unbind.int")
def unbind(e: Emitter, x: Value, axis: int = 0) -> list[Value]:
    """All x[index] along a dimension."""
    axis %= x.rank
    pieces = e.split(x, [1] * x.shape[axis], axis)
    return [e.reshape(piece, (*x.shape[:axis], *x.shape[axis + 1 :])) for piece in pieces]


@translates("repeat.default")
def repeat(e: Emitter, x: Value, times: Sequence[int]) -> Value:
    """Tiled."""
    x = e.reshape(x, (1,) * (len(times) - x.rank) + x.shape)
    return e.call("Tile", x, e.integers(*times), shape=e.result.shape, dtype=x.dtype)


@translates("constant_pad_nd.default")
def constant_pad(e: Emitter, x: Value, pads: Sequence[int], value: float = 0.0) -> Value:
    """With a border of one number; where the border is negative, cut."""
    before, after = [0] * x.rank, [0] * x.rank
    for place in range(len(pads) // 2):
        axis = x.rank - 1 - place
        low, high = pads[2 * place], pads[2 * place + 1]
        x = e.slice(x, axis, max(0, -low), x.shape[axis] - max(0, -high))
        before[axis], after[axis] = max(0, low), max(0, high)
    return e.pad(x, before, after, value)


@translates("flip.default")
def flip(e: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """In reverse order along dimensions."""
    for axis in (axis % x.rank for axis in axes):
        bounds = (e.integers(bound) for bound in (-1, -_END, axis, -1))
        x = e.call("Slice", x, *bounds, shape=x.shape, dtype=x.dtype)
    return x


@translates("roll.default")
def roll(e: Emitter, x: Value, shifts: Sequence[int], axes: Sequence[int] = ()) -> Value:
    """Shifted along dimensions; what falls off comes in at the other end."""
    if not axes:
        return e.reshape(roll(e, e.reshape(x, (x.size,)), shifts, [0]), x.shape)
    for shift, axis in zip(shifts, (axis % x.rank for axis in axes), strict=True):
        size = x.shape[axis]
        cut = -shift % size
        x = e.concat([e.slice(x, axis, cut, size), e.slice(x, axis, 0, cut)], axis) if cut else x
    return x


# ----------------------------------------------------------------------------------------- look-ups


@translates("gather.default")
def gather(e: Emitter, x: Value, axis: int, index: Value, sparse_grad: bool = False) -> Value:  # noqa: ARG001
    """An element for each index along a dimension."""
    return e.call("GatherElements", x, index, shape=index.shape, dtype=x.dtype, axis=axis % x.rank)


@translates("scatter_add.default")
def scatter_add(e: Emitter, x: Value, axis: int, index: Value, source: Value) -> Value:
    """Elements of the source added where their index says."""
    axis %= x.rank
    attributes = {"axis": axis}
    if index.shape[axis] > 1 or x.fill != 0:  # else no two fall on the same place, and nothing is there yet
        attributes["reduction"] = "add"  # type: ignore[assignment]
    return e.call("ScatterElements", x, index, source, shape=x.shape, dtype=x.dtype, **attributes)


@translates("index_select.default")
def index_select(e: Emitter, x: Value, axis: int, index: Value) -> Value:
    """The entries at these places along a dimension."""
    return e.call("Gather", x, index, shape=e.result.shape, dtype=x.dtype, axis=axis % x.rank)


@translates("index.Tensor")
def index_tensor(e: Emitter, x: Value, indices: Sequence[Value | None]) -> Value:
    """x[..., index, ...], with one index."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or given[0][1].dtype != INT:
        refuse("index.Tensor", "has several indices or a mask; use gather or index_select")
    return index_select(e, x, *given[0])


@translates("embedding.default")
def embedding(e: Emitter, table: Value, index: Value, *_options: object) -> Value:
    """A row for each index."""
    return e.call("Gather", table, index, shape=e.result.shape, dtype=table.dtype, axis=0)


@translates("embedding_dense_backward.default")
def embedding_dense_backward(
    e: Emitter, gradient: Value, index: Value, rows: int, padding: int, scale_by_count: bool
) -> Value:
    """The gradients of each row's uses, summed."""
    if scale_by_count:
        refuse("embedding_dense_backward.default", "has scale_grad_by_freq; leave it False")
    if padding >= 0:
        counts = e.unary("Not", e.compare("Equal", index, e.number(padding, INT)))
        gradient = e.mul(gradient, e.reshape(e.cast(counts, gradient.dtype), (*index.shape, 1)))
    width = gradient.shape[-1]
    places, updates = e.reshape(index, (index.size, 1)), e.reshape(gradient, (index.size, width))
    start = e.full((rows, width), 0.0)
    return e.call(
        "ScatterND", start, places, updates, shape=(rows, width), dtype=gradient.dtype, reduction="add"
    )


# ----------------------------------------------------------------------------------------- sums


def _axes(x: Value, dims: int | Sequence[int] | None) -> list[int]:
    if dims is None or dims == []:
        return list(range(x.rank))
    return [dim % x.rank for dim in ([dims] if isinstance(dims, int) else dims)] if x.rank else []


@translates("sum.default", "sum.dim_IntList")
def sum_(e: Emitter, x: Value, dims: Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """Sum over dimensions, all of them unless told."""
    return e.sum(e.cast(x, e.result.dtype), _axes(x, dims), keep=keepdim)


@translates("mean.default", "mean.dim")
def mean(e: Emitter, x: Value, dims: Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """Mean over dimensions, all of them unless told."""
    return e.reduce("ReduceMean", e.cast(x, e.result.dtype), _axes(x, dims), keep=keepdim)


@translates("amax.default")
def amax(e: Emitter, x: Value, dims: Sequence[int] = (), keepdim: bool = False) -> Value:
    """The largest over dimensions."""
    return e.reduce("ReduceMax", x, _axes(x, list(dims)), keep=keepdim)


@translates("amin.default")
def amin(e: Emitter, x: Value, dims: Sequence[int] = (), keepdim: bool = False) -> Value:
    """The smallest over dimensions."""
    return e.reduce("ReduceMin", x, _axes(x, list(dims)), keep=keepdim)


@translates("var.correction", "var_mean.correction")
def var(
    e: Emitter, x: Value, dims: Sequence[int] | None = None, *, correction: float = 1, keepdim: bool = False
) -> Value | list[Value]:
    """Variance over dimensions, and the mean where asked for."""
    axes = _axes(x, dims)
    mean_ = e.reduce("ReduceMean", x, axes, keep=True)
    off = e.sub(x, mean_)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    squares = e.sum(e.mul(off, off), axes, keep=keepdim)
    variance = e.times(squares, 1 / (count - correction))
    return [variance, e.reshape(mean_, variance.shape)][: len(e.results)] if len(e.results) > 1 else variance


@translates("cumsum.default")
def cumsum(e: Emitter, x: Value, axis: int) -> Value:
    """Running sum along a dimension."""
    return e.call("CumSum", x, e.number(axis % x.rank, INT), shape=x.shape, dtype=x.dtype)
