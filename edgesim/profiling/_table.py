"""The table of ATen operators that have a translation; the files `_aten_*.py` fill it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from edgesim.errors import EdgesimError
from edgesim.profiling._writer import Value

Translation = Callable[..., Value | Sequence[Value | None]]
"""(emitter, *arguments of the operator, **keyword arguments) -> its results. Keyword arguments that concern
memory and not numbers, and the type of the result, are left out."""

TABLE: dict[str, Translation] = {}

_Translation = TypeVar("_Translation", bound=Translation)


class NoTranslationError(EdgesimError):
    """An operator cannot be written as ONNX.

    Attributes:
        operator: such as `aten.foo.default`.
        reason: why.
    """

    def __init__(self, operator: str, reason: str) -> None:
        self.operator, self.reason = operator, reason
        super().__init__(f"{operator} {reason}")


def translates(*operators: str) -> Callable[[_Translation], _Translation]:
    """Enter a translation for these operators, named as in `relu.default`.

    The variant of an operator that works in place is covered by that of the other.
    """

    def enter(translation: _Translation) -> _Translation:
        for operator in operators:
            assert operator not in TABLE, operator
            TABLE[operator] = translation
        return translation

    return enter


def refuse(operator: str, reason: str) -> NoReturn:
    """Say that an operator is known, but not with such arguments."""
    raise NoTranslationError(f"aten.{operator}", reason)
