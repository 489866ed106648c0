"""An example of any component: its defaults, and a small value of the right type where there is none."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from edgesim.yaml_source import Quantity


def example(cls: type[Any]) -> Any:
    """The component as the shortest scenario would have it."""
    hints = get_type_hints(cls, include_extras=True)
    required = [field.name for field in fields(cls) if field.default is field.default_factory is MISSING]
    return TypeAdapter(cls).validate_python({name: _value(hints[name]) for name in required}, strict=False)


def _value(hint: Any) -> Any:
    kind, *marks = get_args(hint)
    if get_origin(kind) is tuple:
        return [_value(get_args(kind)[0])]
    quantities = [mark for mark in marks if isinstance(mark, Quantity)]
    return f"3 {quantities[0].base}" if quantities else kind(3)
