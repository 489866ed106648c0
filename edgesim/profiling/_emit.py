"""Short ways to write operators, each with the shape that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from onnx import helper

from edgesim.profiling._writer import BOOL, FLOAT, Result, Value, Writer


@dataclass
class Emitter(Writer):
    """Its methods write a node, or none where the result is known already.

    Attributes:
        results: what the operator in hand gives, for translations that cannot tell from their arguments.
        kept: by the name of a value, another one that its reader can do with.
    """

    results: Sequence[Result] = ()
    kept: dict[str, Value] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """What the operator in hand gives, where that is one tensor."""
        (single,) = self.results
        return single

    # ------------------------------------------------------------------------------------- element-wise

    def unary(self, kind: str, x: Value, **attributes: Any) -> Value:
        """Write an operator that acts on each element."""
        return self.call(kind, x, shape=x.shape, dtype=x.dtype, **attributes)

    def binary(self, kind: str, a: Value, b: Value, dtype: DTypeLike | None = None) -> Value:
        """Write an operator on pairs of elements, shapes broadcast; of the type of `a` unless told."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = self._slim(a, b.shape, shape), self._slim(b, a.shape, shape)
        return self.call(kind, a, b, shape=shape, dtype=dtype or a.dtype)

    def _slim(self, value: Value, other: tuple[int, ...], result: tuple[int, ...]) -> Value:
        """A uniform operand as a number, where the other one has the result's shape already."""
        if value.fill is None or other != result:
            return value
        return self.number(value.fill, value.dtype)

    def add(self, a: Value, b: Value) -> Value:
        """A + b."""
        for x, y in ((a, b), (b, a)):
            if x.fill == 0 and np.broadcast_shapes(a.shape, b.shape) == y.shape:
                return y
        if a.fill is not None and b.fill is not None:
            return self.full(np.broadcast_shapes(a.shape, b.shape), a.fill + b.fill, a.dtype)
        return self.binary("Add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """A - b."""
        if b.fill is not None:
            return self.add(a, replace(b, name="", fill=-b.fill))
        return self.binary("Sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """A * b."""
        for x, y in ((a, b), (b, a)):
            if x.fill == 1 and np.broadcast_shapes(a.shape, b.shape) == y.shape:
                return y
        if a.fill is not None and b.fill is not None:
            return self.full(np.broadcast_shapes(a.shape, b.shape), a.fill * b.fill, a.dtype)
        return self.binary("Mul", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """A / b."""
        if b.fill is not None and a.dtype == FLOAT and b.fill:
            return self.mul(a, replace(b, name="", fill=1 / b.fill))
        return self.binary("Div", a, b)

    def times(self, x: Value, factor: Value | float) -> Value:
        """A tensor times a number, which may be an input."""
        return self.mul(x, factor if isinstance(factor, Value) else self.number(factor, x.dtype))

    def plus(self, x: Value, number: float) -> Value:
        """A tensor plus a number."""
        return self.add(x, self.number(number, x.dtype))

    def compare(self, kind: str, a: Value, b: Value) -> Value:
        """Less, Greater, Equal, ...: a tensor of booleans."""
        return self.binary(kind, a, b, BOOL)

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """Elements of `a` where the condition holds, else of `b`."""
        shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
        if condition.shape == shape:
            a, b = (self._slim(value, shape, shape) for value in (a, b))
        return self.call("Where", condition, a, b, shape=shape, dtype=a.dtype)

    def cast(self, x: Value, dtype: DTypeLike) -> Value:
        """The same numbers in another type."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.fill is not None:
            return replace(x, name="", dtype=dtype)
        return self.call("Cast", x, shape=x.shape, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(dtype))

    # ------------------------------------------------------------------------------------- shapes

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape."""
        made = self.maker(x)
        if made is not None and made.kind == "Reshape":
            assert made.inputs[0] is not None
            x = made.inputs[0]
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if x.fill is not None:
            return self.full(shape, x.fill, x.dtype)
        return self.call("Reshape", x, self.integers(*shape), shape=shape, dtype=x.dtype)

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """Dimensions in another order."""
        order = tuple(order)
        made = self.maker(x)
        if made is not None and made.kind == "Transpose":
            assert made.inputs[0] is not None
            x, order = made.inputs[0], tuple(made.attributes["perm"][axis] for axis in order)
        shape = tuple(x.shape[axis] for axis in order)
        if order == tuple(range(x.rank)):
            return x
        if x.fill is not None:
            return self.full(shape, x.fill, x.dtype)
        if [axis for axis in order if x.shape[axis] > 1] == [a for a in range(x.rank) if x.shape[a] > 1]:
            return self.reshape(x, shape)
        return self.call("Transpose", x, shape=shape, dtype=x.dtype, perm=list(order))

    def expand(self, x: Value, shape: Sequence[int]) -> Value:
        """Repeated along dimensions of size one."""
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if x.fill is not None:
            return self.full(shape, x.fill, x.dtype)
        return self.call("Expand", x, self.integers(*shape), shape=shape, dtype=x.dtype)

    def slice(self, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """x[start:stop:step] along one dimension; stop is within the tensor."""
        length = len(range(start, stop, step))
        if step == 1 and length == x.shape[axis]:
            return x
        shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
        if x.fill is not None:
            return self.full(shape, x.fill, x.dtype)
        bounds = [self.integers(bound) for bound in (start, stop, axis, *([step] if step != 1 else []))]
        return self.call("Slice", x, *bounds, shape=shape, dtype=x.dtype)

    def pad(self, x: Value, before: Sequence[int], after: Sequence[int], number: float = 0.0) -> Value:
        """With a border of one number, per dimension."""
        if not any((*before, *after)):
            return x
        shape = [size + low + high for size, low, high in zip(x.shape, before, after, strict=True)]
        pads = self.integers(*before, *after)
        more = () if number == 0 else (self.number(number, x.dtype),)
        return self.call("Pad", x, pads, *more, shape=shape, dtype=x.dtype)

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """One after the other along a dimension."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        shape = list(first.shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.call("Concat", *parts, shape=shape, dtype=first.dtype, axis=axis)

    def split(self, x: Value, sizes: Sequence[int], axis: int) -> tuple[Value, ...]:
        """Pieces of these sizes along a dimension."""
        if len(sizes) == 1:
            return (x,)
        results = [Result((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sizes]
        return self.calls("Split", x, self.integers(*sizes), results=results, axis=axis)

    # ------------------------------------------------------------------------------------- sums and products

    def reduce(self, kind: str, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
        """ReduceSum, ReduceMean, ReduceMax, ... over these dimensions."""
        axes = sorted(axes)
        if not axes:
            return x
        kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        shape = kept if keep else [size for axis, size in enumerate(x.shape) if axis not in axes]
        if all(x.shape[axis] == 1 for axis in axes) and kind in ("ReduceSum", "ReduceMean", "ReduceMax"):
            return self.reshape(x, shape)
        if kind == "ReduceSum":  # the only one whose axes are an input in this opset
            return self.call(kind, x, self.integers(*axes), shape=shape, dtype=x.dtype, keepdims=int(keep))
        return self.call(kind, x, shape=shape, dtype=x.dtype, axes=axes, keepdims=int(keep))

    def sum(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Sum over these dimensions."""
        return self.reduce("ReduceSum", x, axes, keep=keep)

    def matmul(self, a: Value, b: Value) -> Value:
        """Matrix product of the last two dimensions, those before broadcast."""
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        return self.call("MatMul", a, b, shape=shape, dtype=a.dtype)

    def gemm(
        self, a: Value, b: Value, c: Value | None = None, *, alpha: float = 1.0, beta: float = 1.0
    ) -> Value:
        """Alpha a b + beta c for matrices; what was transposed before is read as it lies."""
        (a, turned_a), (b, turned_b) = self._untransposed(a), self._untransposed(b)
        attributes: dict[str, Any] = {}
        if turned_a:
            attributes["transA"] = 1
        if turned_b:
            attributes["transB"] = 1
        if alpha != 1:
            attributes["alpha"] = float(alpha)
        if c is not None and beta != 1:
            attributes["beta"] = float(beta)
        shape = (a.shape[1] if turned_a else a.shape[0], b.shape[0] if turned_b else b.shape[1])
        inputs = (a, b) if c is None else (a, b, c)
        return self.call("Gemm", *inputs, shape=shape, dtype=a.dtype, **attributes)

    def _untransposed(self, x: Value) -> tuple[Value, bool]:
        made = self.maker(x)
        if made is None or made.kind != "Transpose" or x.rank != 2:
            return x, False
        assert made.inputs[0] is not None
        return made.inputs[0], True
