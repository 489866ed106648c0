"""An ONNX graph under construction, with the shape and type of everything in it.

Every node is written once: a second call with the same operator, inputs and attributes gives the first one's
result. What nothing reads in the end is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
class Writer:
    """Collects inputs, constants and nodes, and makes a model of them."""

    _inputs: list[Value] = field(default_factory=list)
    _made: list[Made] = field(default_factory=list)
    _known: dict[tuple[Any, ...], tuple[Value, ...]] = field(default_factory=dict)
    _maker: dict[str, Made] = field(default_factory=dict)
    _constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    _by_content: dict[tuple[Any, ...], Value] = field(default_factory=dict)

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
            name = f"/c{len(self._constants)}"  # a slash, as no parameter has one
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
                Value(f"/v{number}" if place == 0 else f"/v{number}_{place}", result.shape, result.dtype)
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

    def _needed(self, results: Iterable[Value]) -> list[Made]:
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
