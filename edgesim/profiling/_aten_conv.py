"""Convolutions and their gradients.

The weight gradient is a sum over samples and places of the map, for which there are several ways; which is
fastest goes by channels, kernel and map (measured on a Xeon). Symbols: O channels out, C channels in, K
samples times places of the output map, T taps of the kernel.

    by columns      what all taps meet side by side [C T, K], one product      small maps, kernels of one tap,
                                                                               images (C at most 3)
    by tap          the same for one tap at a time                             small kernels, many channels
    by row          the same for one row of the kernel at a time               all others
    as convolution  channels and samples exchange their roles                  groups, and one dimension

The input gradient is a transposed convolution; where the map is tiny and the weights are many, it is a
convolution with the kernel turned round.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import refuse, translates
from edgesim.profiling._writer import Value

SMALL_MAP = 64  # places of an output map up to which the columns of all taps are laid side by side
SMALL_KERNEL = 9  # taps up to which a kernel may go tap by tap
MANY_CHANNELS = 64
FEW_CHANNELS = 3
TINY_MAP = 16  # places up to which a kernel is turned round for the input gradient
MANY_WEIGHTS = 1 << 19

_ALL = 1 << 31  # beyond every tensor: how a slice backwards is written that goes to the begin


@dataclass(frozen=True)
class _Window:
    """How a kernel walks over a map, per spatial dimension."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def attributes(self, kernel: Sequence[int]) -> dict[str, Any]:
        """For ONNX's Conv and ConvTranspose, what differs from their defaults."""
        given: dict[str, Any] = {"kernel_shape": list(kernel)}
        if any(size != 1 for size in self.stride):
            given["strides"] = list(self.stride)
        if any(self.padding):
            given["pads"] = [*self.padding, *self.padding]
        if any(size != 1 for size in self.dilation):
            given["dilations"] = list(self.dilation)
        if self.groups != 1:
            given["group"] = self.groups
        return given

    def taps(self, kernel: Sequence[int]) -> list[tuple[int, ...]]:
        """Offsets of the kernel's taps, row by row."""
        return list(
            itertools.product(
                *(range(0, size * gap, gap) for size, gap in zip(kernel, self.dilation, strict=True))
            )
        )


def _window(
    operator: str,
    spatial: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    groups: int,
) -> _Window:
    if transposed:
        refuse(operator, "is transposed; use upsampling and a plain convolution")
    stride, padding, dilation = (
        tuple(values) * (spatial // len(values)) for values in (stride, padding, dilation)
    )
    return _Window(stride, padding, dilation, groups)


@translates("convolution.default")
def convolution(
    e: Emitter,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
) -> Value:
    """A convolution over one, two or three dimensions."""
    kernel = weight.shape[2:]
    window = _window("convolution.default", len(kernel), stride, padding, dilation, transposed, groups)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return e.call("Conv", *inputs, shape=e.result.shape, **window.attributes(kernel))


@translates("convolution_backward.default")
def convolution_backward(
    e: Emitter,
    gradient: Value,
    x: Value,
    weight: Value,
    _bias_sizes: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> list[Value | None]:
    """The gradients of input, weight and bias, as far as they are wanted."""
    spatial = weight.rank - 2
    window = _window("convolution_backward.default", spatial, stride, padding, dilation, transposed, groups)
    return [
        _input_gradient(e, gradient, x.shape, weight, window) if wanted[0] else None,
        _weight_gradient(e, gradient, x, weight.shape, window) if wanted[1] else None,
        e.sum(gradient, [0, *range(2, gradient.rank)]) if wanted[2] else None,
    ]


def _input_gradient(
    e: Emitter, gradient: Value, shape: Sequence[int], weight: Value, window: _Window
) -> Value:
    kernel = weight.shape[2:]
    plain = window.groups == 1 and set(window.stride) == {1}
    if plain and math.prod(gradient.shape[2:]) <= TINY_MAP and weight.size >= MANY_WEIGHTS:
        return _by_turned_kernel(e, gradient, shape, weight, window)
    attributes = window.attributes(kernel)
    missing = [  # rows at the end that no window reached
        whole - ((count - 1) * step - 2 * pad + gap * (size - 1) + 1)
        for whole, count, step, pad, gap, size in zip(
            shape[2:], gradient.shape[2:], window.stride, window.padding, window.dilation, kernel, strict=True
        )
    ]
    if any(missing):
        attributes["output_padding"] = missing
    return e.call("ConvTranspose", gradient, weight, shape=shape, **attributes)


def _by_turned_kernel(
    e: Emitter, gradient: Value, shape: Sequence[int], weight: Value, window: _Window
) -> Value:
    """Stride 1 and no groups: every output place sends its gradient back through the same taps."""
    out, inward, *kernel = weight.shape
    taps = math.prod(kernel)
    backwards = [e.integers(bound) for bound in (-1, -_ALL, 2, -1)]
    flat = e.reshape(weight, (out, inward, taps))
    turned = e.reshape(e.call("Slice", flat, *backwards, shape=flat.shape), weight.shape)
    padding = [
        gap * (size - 1) - pad for gap, size, pad in zip(window.dilation, kernel, window.padding, strict=True)
    ]
    for axis, pad in enumerate(padding):  # more padding than kernel: the border's gradient goes nowhere
        gradient = e.slice(gradient, 2 + axis, max(0, -pad), gradient.shape[2 + axis] - max(0, -pad))
    attributes = replace(window, padding=tuple(max(0, pad) for pad in padding)).attributes(kernel)
    return e.call("Conv", gradient, _channels_first(e, turned), shape=shape, **attributes)


def _weight_gradient(e: Emitter, gradient: Value, x: Value, shape: Sequence[int], window: _Window) -> Value:
    kernel, places = shape[2:], math.prod(gradient.shape[2:])
    taps = math.prod(kernel)
    if window.groups > 1 or len(kernel) != 2:
        return _as_convolution(e, gradient, x, shape, window)
    outward = _channels_first(e, gradient)
    rows = e.reshape(outward, (outward.shape[0], outward.size // outward.shape[0]))
    padded = _channels_first(e, e.pad(x, (0, 0, *window.padding), (0, 0, *window.padding)))
    walk = _Walk(e, rows, padded, gradient.shape[2:], window)
    if taps == 1 or places <= SMALL_MAP or shape[1] <= FEW_CHANNELS:
        return walk.by_columns(shape)
    return walk.by_tap(shape) if taps <= SMALL_KERNEL and shape[1] >= MANY_CHANNELS else walk.by_row(shape)


def _channels_first(e: Emitter, x: Value) -> Value:
    """[samples, channels, ...] as [channels, samples, ...]."""
    return e.transpose(x, (1, 0, *range(2, x.rank)))


@dataclass(frozen=True)
class _Walk:
    """The sums of a weight gradient over the map, for two spatial dimensions and no groups.

    Attributes:
        e: to write with.
        outward: gradient of the output, [O, K].
        padded: input with its border, [C, samples, height, width].
        map: height and width of the output.
        window: of the convolution.
    """

    e: Emitter
    outward: Value
    padded: Value
    map: tuple[int, ...]
    window: _Window

    def _along(self, x: Value, axis: int, offset: int) -> Value:
        """What one tap meets along an axis of the input."""
        step, count = self.window.stride[axis], self.map[axis]
        return self.e.slice(x, x.rank - 2 + axis, offset, offset + (count - 1) * step + 1, step)

    def _product(self, columns: Value) -> Value:
        """The gradient [O, features], outward x columns', for columns [features, K]."""
        return self.e.gemm(self.outward, self.e.transpose(columns, (1, 0)))

    def _side_by_side(self, parts: Sequence[Value]) -> Value:
        """Parts [C, ...] as [C, parts, ...]."""
        return self.e.concat([self.e.reshape(x, (x.shape[0], 1, *x.shape[1:])) for x in parts], 1)

    def _features(self, x: Value) -> Value:
        """[features, K]."""
        places = self.outward.shape[1]
        return self.e.reshape(x, (x.size // places, places))

    def _tap(self, offsets: Sequence[int]) -> Value:
        return self._along(self._along(self.padded, 0, offsets[0]), 1, offsets[1])

    def by_columns(self, shape: Sequence[int]) -> Value:
        """All taps in one product."""
        taps = self._side_by_side([self._tap(offsets) for offsets in self.window.taps(shape[2:])])
        return self.e.reshape(self._product(self._features(taps)), shape)

    def by_tap(self, shape: Sequence[int]) -> Value:
        """A product for each tap."""
        out, inward, height, width = shape
        products = [self._product(self._features(self._tap(o))) for o in self.window.taps(shape[2:])]
        stacked = self.e.concat([self.e.reshape(p, (1, out, inward)) for p in products], 0)
        return self.e.reshape(self.e.transpose(stacked, (1, 2, 0)), (out, inward, height, width))

    def by_row(self, shape: Sequence[int]) -> Value:
        """A product for each row of the kernel; what the taps of a row meet is cut out once for all rows."""
        out, inward, height, width = shape
        gaps = self.window.dilation
        columns = self._side_by_side([self._along(self.padded, 1, gaps[1] * j) for j in range(width)])
        rows = [self._along(columns, 0, gaps[0] * i) for i in range(height)]
        products = [
            self.e.reshape(self._product(self._features(row)), (out, inward, 1, width)) for row in rows
        ]
        return self.e.concat(products, 2)


def _as_convolution(e: Emitter, gradient: Value, x: Value, shape: Sequence[int], window: _Window) -> Value:
    """The input as maps of so many samples, over which the output's gradient walks as a kernel.

    With G groups: input [C / G, G samples, ...], kernel [O, samples, ...], result [C / G, O, *kernel].
    """
    out, inward, *kernel = shape
    samples, groups, spatial = x.shape[0], window.groups, x.shape[2:]
    split = e.reshape(x, (samples, groups, inward, *spatial))
    maps = e.reshape(
        e.transpose(split, (2, 1, 0, *range(3, split.rank))), (inward, groups * samples, *spatial)
    )
    walked = gradient.shape[2:]
    needed = [
        step * (count - 1) + gap * (size - 1) + 1
        for step, count, gap, size in zip(window.stride, walked, window.dilation, kernel, strict=True)
    ]
    after = [need - size - pad for need, size, pad in zip(needed, spatial, window.padding, strict=True)]
    for axis, end in enumerate(after):  # what no window reached
        maps = e.slice(maps, 2 + axis, 0, maps.shape[2 + axis] + min(end, 0))
    made = e.call(
        "Conv",
        maps,
        _channels_first(e, gradient),
        shape=(inward, out, *kernel),
        kernel_shape=list(walked),
        strides=list(window.dilation),
        dilations=list(window.stride),
        pads=[*window.padding, *(max(end, 0) for end in after)],
        group=groups,
    )
    return _channels_first(e, made)
