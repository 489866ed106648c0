"""An ONNX graph under construction, with the shape and type of everything in it.

Every node is written once: a second call with the same operator, inputs and attributes gives the first one's
result. What nothing reads in the end is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the newest that onnxruntime 1.17 reads

MOVES = ("Reshape", "Identity", "Constant")
"""Operators that cost nothing, and are not counted as nodes."""

_INLINE = 64  # elements up to which a uniform tensor is written out

FLOAT = np.dtype(np.float32)
INT = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: in the graph; empty for a uniform tensor that nothing has needed yet.
        shape: of the tensor.
        dtype: of its elements.
        fill: the number that all its elements are; null where they differ.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: float | None = None

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Result:
    """Shape and type of a tensor that an operator gives."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Made:
    """A node, and what it was made from.

    Attributes:
        kind: ONNX operator.
        inputs: values that it reads; null for an optional one that is absent.
        outputs: values that it gives.
        attributes: of the node.
    """

    kind: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any]


@dataclass
class Emitter:
    """Collects nodes. Its methods write a node, or none where the result is known already.

    Attributes:
        results: what the operator in hand gives, for emitters that cannot tell from their arguments.
        kept: by the name of a value, another one that its reader can do with.
    """

    results: Sequence[Result] = ()
    kept: dict[str, Value] = field(default_factory=dict)
    _inputs: list[Value] = field(default_factory=list)
    _made: list[Made] = field(default_factory=list)
    _known: dict[tuple[Any, ...], tuple[Value, ...]] = field(default_factory=dict)
    _maker: dict[str, Made] = field(default_factory=dict)
    _constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    _by_content: dict[tuple[Any, ...], Value] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """What the operator in hand gives, where that is one tensor."""
        (single,) = self.results
        return single

    # ------------------------------------------------------------------------------------- values

    def input(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> Value:
        """A tensor that is fed in."""
        value = Value(name, tuple(shape), np.dtype(dtype))
        self._inputs.append(value)
        return value

    def constant(self, array: NDArray[Any]) -> Value:
        """A tensor that is part of the graph."""
        key = (array.tobytes(), array.shape, array.dtype.str)
        if key not in self._by_content:
            name = f"c{len(self._constants)}"
            self._constants[name] = array
            fill = float(array.flat[0]) if array.size == 1 else None
            self._by_content[key] = Value(name, array.shape, array.dtype, fill)
        return self._by_content[key]

    def integers(self, *numbers: int) -> Value:
        """A vector of integers, as shapes and axes are given."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def number(self, number: float, dtype: DTypeLike = FLOAT) -> Value:
        """A number as a tensor without axes."""
        return self.constant(np.array(number, dtype=dtype))

    def full(self, shape: Sequence[int], number: float, dtype: DTypeLike = FLOAT) -> Value:
        """A tensor whose elements are all the same; it takes no room until it is needed."""
        return Value("", tuple(shape), np.dtype(dtype), float(number))

    def _named(self, value: Value) -> Value:
        """The value, with a place in the graph."""
        if value.name:
            return value
        assert value.fill is not None
        if value.size <= _INLINE:
            return self.constant(np.full(value.shape, value.fill, value.dtype))
        element = numpy_helper.from_array(np.array([value.fill], value.dtype))
        shape = self.integers(*value.shape)
        return self.call("ConstantOfShape", shape, shape=value.shape, dtype=value.dtype, value=element)

    def maker(self, value: Value) -> Made | None:
        """The node that gives a value; null for inputs and constants."""
        return self._maker.get(value.name)

    def reads(self, value: Value) -> int:
        """How many nodes read a value so far."""
        return sum(value.name == given.name for made in self._made for given in made.inputs if given)

    # ------------------------------------------------------------------------------------- nodes

    def calls(
        self, kind: str, *inputs: Value | None, results: Sequence[Result], **attributes: Any
    ) -> tuple[Value, ...]:
        """Write a node with several results."""
        given = tuple(None if value is None else self._named(value) for value in inputs)
        names = tuple(None if value is None else value.name for value in given)
        key = (kind, names, len(results), repr(sorted(attributes.items(), key=lambda item: item[0])))
        if key not in self._known:
            number = len(self._made)
            outputs = tuple(
                Value(f"v{number}" if place == 0 else f"v{number}_{place}", result.shape, result.dtype)
                for place, result in enumerate(results)
            )
            made = Made(kind, given, outputs, attributes)
            self._made.append(made)
            self._maker |= {value.name: made for value in outputs}
            self._known[key] = outputs
        return self._known[key]

    def call(
        self,
        kind: str,
        *inputs: Value | None,
        shape: Sequence[int],
        dtype: DTypeLike = FLOAT,
        **attributes: Any,
    ) -> Value:
        """Write a node with one result."""
        (value,) = self.calls(kind, *inputs, results=[Result(tuple(shape), np.dtype(dtype))], **attributes)
        return value

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

    # ------------------------------------------------------------------------------------- the whole

    def model(self, outputs: Mapping[str, Value]) -> onnx.ModelProto:
        """The graph that gives these values under these names; inputs that nothing reads are left out."""
        results = {name: self._named(value) for name, value in outputs.items()}
        renamed, extra = self._output_names(results)
        needed = list(self._needed(results.values()))
        nodes = [_node(made, renamed) for made in needed] + extra
        used = {name for node in nodes for name in node.input}
        inputs = [_info(value.name, value) for value in self._inputs if value.name in used]
        infos = [
            _info(value.name, value)
            for made in needed
            for value in made.outputs
            if value.name not in renamed and value.name in used
        ]
        constants = [
            numpy_helper.from_array(array, name) for name, array in self._constants.items() if name in used
        ]
        declared = [_info(name, value) for name, value in results.items()]
        graph = helper.make_graph(nodes, "step", inputs, declared, constants, value_info=infos)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edgesim")

    def _output_names(self, results: Mapping[str, Value]) -> tuple[dict[str, str], list[onnx.NodeProto]]:
        """How values that are put out are called, and the nodes for those that have a name already."""
        renamed: dict[str, str] = {}
        extra = []
        for name, value in results.items():
            if value.name in self._maker and value.name not in renamed:
                renamed[value.name] = name
            else:
                source = renamed.get(value.name, value.name)
                extra.append(helper.make_node("Identity", [source], [name]))
        return renamed, extra

    def _needed(self, results: Iterator[Value] | Any) -> list[Made]:
        """The nodes that the results hang on, in order."""
        wanted = {value.name for value in results}
        needed = []
        for made in reversed(self._made):
            if any(value.name in wanted for value in made.outputs):
                needed.append(made)
                wanted |= {value.name for value in made.inputs if value is not None}
        return needed[::-1]


def _node(made: Made, renamed: Mapping[str, str]) -> onnx.NodeProto:
    inputs = ["" if value is None else renamed.get(value.name, value.name) for value in made.inputs]
    outputs = [renamed.get(value.name, value.name) for value in made.outputs]
    return helper.make_node(made.kind, inputs, outputs, **made.attributes)


def _info(name: str, value: Value) -> onnx.ValueInfoProto:
    kinds = {FLOAT: TensorProto.FLOAT, INT: TensorProto.INT64, BOOL: TensorProto.BOOL}
    return helper.make_tensor_value_info(name, kinds[value.dtype], value.shape)


def counted(model: onnx.ModelProto) -> int:
    """Number of nodes, those that cost nothing aside."""
    return sum(node.op_type not in MOVES for node in model.graph.node)
