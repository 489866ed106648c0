"""From a traced graph of ATen operators to ONNX, by a table of our own.

Operators that work in place give a new value, and their operand is known by it from then on, as is whoever
looks at the same elements in another shape. A graph that reads other views of that memory afterwards (a
slice, a transposed one) is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from edgesim.profiling import (
    _aten_activations,
    _aten_arithmetic,
    _aten_conv,
    _aten_loss,
    _aten_norm,
    _aten_pool,
    _aten_products,
    _aten_shapes,
)
from edgesim.profiling._emit import Emitter
from edgesim.profiling._table import TABLE, NoTranslationError
from edgesim.profiling._writer import BOOL, FLOAT, INT, Result, Value
from edgesim.training import _graph

TABLES = (
    _aten_activations,
    _aten_arithmetic,
    _aten_conv,
    _aten_loss,
    _aten_norm,
    _aten_pool,
    _aten_products,
    _aten_shapes,
)
"""The files that fill the table."""

Values = Value | Sequence[Value | None]

_DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: FLOAT,
    torch.float64: FLOAT,  # numbers of Python that became tensors
    torch.int64: INT,
    torch.int32: INT,
    torch.bool: BOOL,
}
_ABOUT_MEMORY = {"dtype", "device", "layout", "pin_memory", "memory_format", "non_blocking", "implicit"}
_SHAPES_ONLY = {
    "reshape.default",
    "squeeze.default",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
}
_TURNS = {"transpose.default"}  # in place, another view of the same memory
_CHANGED_SECRETLY = {"native_batch_norm.default": (3, 4)}  # statistics, which its schema does not tell


def result_of(tensor: Tensor) -> Result:
    """Shape and type of a traced tensor.

    Raises:
        KeyError: ONNX graphs here have no such type.
    """
    return Result(tuple(tensor.shape), _DTYPES[tensor.dtype])


@dataclass
class Translator:
    """Translates one graph.

    Attributes:
        emitter: to write with.
        traced: the graph, and the constants that it reads.
        values: what stands for each node now.
    """

    emitter: Emitter
    traced: fx.GraphModule
    values: dict[fx.Node, Values] = field(default_factory=dict)
    _owner: dict[fx.Node, fx.Node] = field(default_factory=dict)  # whose memory a node looks at
    _whole: dict[fx.Node, fx.Node] = field(default_factory=dict)  # whose elements it has, in their order
    _stale: set[fx.Node] = field(default_factory=set)

    def run(self, inputs: Sequence[Value]) -> list[Value]:
        """Write the graph for these inputs, one per placeholder; what it gives.

        Raises:
            NoTranslationError: an operator has none.
        """
        given = iter(inputs)
        for node in self.traced.graph.nodes:
            self._owner[node] = self._whole[node] = node
            if node.op == "placeholder":
                self.values[node] = next(given)
            elif node.op == "get_attr":
                self.values[node] = self._constant(getattr(self.traced, node.target))
            elif node.op == "call_function":
                self._call(node)
            else:
                return [self._read(result) for result in node.args[0]]
        raise AssertionError("a graph ends with its output")

    def _constant(self, tensor: Tensor) -> Value:
        return self.emitter.constant(np.asarray(tensor.detach().numpy(), _DTYPES[tensor.dtype]))

    def _read(self, node: fx.Node) -> Any:
        if node in self._stale:
            raise NoTranslationError(
                str(node.target), "looks at memory that was changed in place; give the module inplace=False"
            )
        return self.values[node]

    def _call(self, node: fx.Node) -> None:
        if node.target is operator.getitem:
            source, place = node.args
            assert isinstance(source, fx.Node)
            self.values[node] = self._read(source)[place]
            if _is_view(source):
                self._owner[node] = self._owner[source]
            return
        name, in_place = _name(node)
        self.emitter.results = self._results(node)
        args = fx.map_arg(node.args, self._read)
        kwargs = {key: value for key, value in node.kwargs.items() if key not in _ABOUT_MEMORY}
        self.values[node] = TABLE[name](self.emitter, *args, **fx.map_arg(kwargs, self._read))
        if _is_view(node) or in_place:
            source = _graph.operand(node)
            self._owner[node] = self._owner[source]
            if in_place and name in _TURNS:
                self.values[source] = self.values[node]
                self._whole[source] = node
            elif in_place or name in _SHAPES_ONLY:
                self._whole[node] = self._whole[source]
            if in_place and name not in _TURNS:
                self._change(source, self._read(node))
        if name in _CHANGED_SECRETLY:
            *results, mean, variance = self._read(node)
            self.values[node] = results
            for place, value in zip(_CHANGED_SECRETLY[name], (mean, variance), strict=True):
                if isinstance(node.args[place], fx.Node):
                    self._change(_graph.operand(node, place), value)

    def _results(self, node: fx.Node) -> list[Result]:
        value = node.meta.get("val")  # absent where an optimiser wrote the operator: it works in place
        tensors = value if isinstance(value, list | tuple) else [value]
        try:
            return [result_of(tensor) for tensor in tensors if isinstance(tensor, Tensor)]
        except KeyError as error:
            raise NoTranslationError(str(node.target), f"gives {error.args[0]}") from error

    def _change(self, changed: fx.Node, value: Value) -> None:
        """A node's memory holds another value now; who else looks at it has that too, or is out of date."""
        owner, whole = self._owner[changed], self._whole[changed]
        for node in [node for node, other in self._owner.items() if other is owner]:
            before = self.values[node]
            if self._whole[node] is whole and isinstance(before, Value):
                self.values[node] = self.emitter.reshape(value, before.shape)
            else:
                self._stale.add(node)


def _is_view(node: fx.Node) -> bool:
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and (
        target.is_view or target is torch.ops.aten.reshape.default
    )


def _name(node: fx.Node) -> tuple[str, bool]:
    """The name of a node's operator in the table, and whether it works in place.

    Raises:
        NoTranslationError: it is not in the table.
    """
    namespace, _, name = str(node.target).partition(".")
    packet, _, overload = name.partition(".")
    in_place = packet.endswith("_") and not packet.endswith("__")
    plain = f"{packet.removesuffix('_') if in_place else packet}.{overload}"
    if namespace != "aten" or plain not in TABLE:
        raise NoTranslationError(str(node.target), "has no translation to ONNX")
    return plain, in_place
