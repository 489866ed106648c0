"""Components: room and file name, or `module:Class`, to the thing that a scenario names.

In an extension room every file is one component. Its file name is its YAML name, the fields of its one component
class are its YAML keys. Nothing has to be listed anywhere: a new file is found by being there.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from edgesim.errors import did_you_mean

T = TypeVar("T")

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_USER = ":"  # the tag of everything that lives outside the package
_WRONG = "?"  # the tag of what names nothing; a discriminator itself may not raise


@dataclass_transform(kw_only_default=True, frozen_default=True)
def component(cls: type[T]) -> type[T]:
    """Make a class a component: frozen, keyword-only, its fields are its YAML keys and no others are accepted."""
    made = dataclass(frozen=True, kw_only=True)(cls)
    made.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
    return made


@cache
def names(room: str) -> tuple[str, ...]:
    """Names of the built-in components of a room, sorted."""
    package = importlib.import_module(f"edgesim.{room}")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


@cache
def builtin(room: str, name: str) -> type[Any]:
    """The component class that a file of a room defines.

    Raises:
        LookupError: the file defines no component class, or more than one.
    """
    module = importlib.import_module(f"edgesim.{room}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and "__pydantic_config__" in vars(member)
    ]
    if len(found) != 1:
        raise LookupError(f"edgesim/{room}/{name}.py defines {len(found)} component classes, not one")
    return cast(type[Any], found[0])


def name_of(instance: object) -> str:
    """The name by which a scenario asks for this component: its file, or `module:Class` outside the package."""
    target = getattr(instance, "component_name", None)
    if isinstance(target, str):
        return target
    cls = type(instance)
    package, _, module = cls.__module__.rpartition(".")
    return module if package.startswith("edgesim.") else f"{cls.__module__}:{cls.__qualname__}"


def load_target(target: str) -> Any:
    """What `module:Class` names.

    Raises:
        ValueError: the module cannot be imported or holds no such name; the message says which.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f'cannot import module "{module_name}" of "{target}": {error}') from error
    if not hasattr(module, attribute):
        hint = did_you_mean(attribute, vars(module))
        raise ValueError(f'module "{module_name}" has no "{attribute}"{hint}')
    return getattr(module, attribute)


def _user_component(room: str, given: object) -> Any:
    """Build a component that lives outside the package from its mapping."""
    target, parameters = _split(given)
    loaded = load_target(target)
    if "__pydantic_config__" in getattr(loaded, "__dict__", {}):
        try:
            return TypeAdapter(loaded).validate_python(parameters, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ValueError(f'"{target}": {key}: {first["msg"]}') from error
    adapter = _user_adapter(room)
    if adapter is None:
        raise ValueError(f'"{target}" is no component: decorate the class with edgesim.registry.component')
    return adapter(target, loaded, parameters)


def _user_adapter(room: str) -> Callable[[str, Any, Mapping[str, Any]], Any] | None:
    """The room's own way to take in something that is no component class (a plain torch Module, say)."""
    try:
        return cast(Any, importlib.import_module(f"edgesim.{room}._user")).adapt  # type: ignore[no-any-return]
    except ModuleNotFoundError:
        return None


def _split(given: object) -> tuple[str, dict[str, Any]]:
    """Name and parameters of `x` or `{name: x, ...}`."""
    if isinstance(given, str):
        return given, {}
    assert isinstance(given, dict)
    return given["name"], {key: value for key, value in given.items() if key != "name"}


@dataclass(frozen=True)
class Named:
    """Marks a field that names one of several dataclasses: `x` or `{name: x, ...}`.

    Attributes:
        choices: gives the class for each name; called once, when the schema is built.
        what: what the field names, for messages ("submodel").
        room: the extension room, where `module:Class` is accepted too.
    """

    choices: Callable[[], Mapping[str, type[Any]]]
    what: str
    room: str | None = None

    def __get_pydantic_core_schema__(  # noqa: D102  (called by pydantic)
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        classes = self.choices()
        by_class = {cls: name for name, cls in classes.items()}
        choices: dict[Any, core_schema.CoreSchema] = {
            name: self._choice(name, cls, handler) for name, cls in classes.items()
        }
        if self.room is not None:
            room = self.room
            choices[_USER] = core_schema.no_info_plain_validator_function(
                lambda given: _user_component(room, given),
                serialization=core_schema.plain_serializer_function_ser_schema(_dump_user),
            )

        choices[_WRONG] = core_schema.no_info_plain_validator_function(
            lambda given: self._refuse(given, classes)
        )

        def tag(given: Any) -> str:
            if not isinstance(given, str | dict):
                return by_class.get(type(given), _USER if self.room is not None else _WRONG)
            name = given if isinstance(given, str) else given.get("name")
            if isinstance(name, str) and name in classes:
                return name
            return _USER if self.room is not None and isinstance(name, str) and ":" in name else _WRONG

        return core_schema.tagged_union_schema(choices, discriminator=tag)

    def _choice(self, name: str, cls: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def parameters(given: Any) -> Any:
            return _split(given)[1] if isinstance(given, str | dict) else given

        def dump(value: Any, inner: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
            return {"name": name, **inner(value)}

        inner = handler.generate_schema(cls)
        return core_schema.no_info_before_validator_function(
            parameters,
            inner,
            serialization=core_schema.wrap_serializer_function_ser_schema(dump, schema=inner),
        )

    def _refuse(self, given: object, classes: Mapping[str, type[Any]]) -> None:
        name = given.get("name") if isinstance(given, dict) else given
        if isinstance(name, str):
            outside = ", or module:Class" if self.room is not None else ""
            text = (
                f'no {self.what} "{name}"{did_you_mean(name, classes)} (known: {", ".join(classes)}{outside})'
            )
        elif isinstance(given, dict):
            text = f"needs a name, one of: {', '.join(classes)}"
        else:
            text = f"must be a name or a mapping with a name, got {given!r}"
        raise PydanticCustomError("component", "{text}", {"text": text})

    def __get_pydantic_json_schema__(  # noqa: D102  (called by pydantic)
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        choices = cast(dict[str, Any], schema)["choices"]
        known = [self._describe(name, cls, choices[name], handler) for name, cls in self.choices().items()]
        user = {
            "type": "object",
            "properties": {"name": {"type": "string", "pattern": ":"}},
            "required": ["name"],
        }
        return {"anyOf": [*known, *([{"type": "string", "pattern": ":"}, user] if self.room else [])]}

    def _describe(
        self, name: str, cls: type[Any], choice: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler.resolve_ref_schema(handler(choice))
        needed = [field.name for field in fields(cls) if _needed(field)]
        mapping = {
            **inner,
            "properties": {"name": {"const": name}, **inner.get("properties", {})},
            "required": ["name", *needed],
        }
        return mapping if needed else {"anyOf": [{"const": name}, mapping]}


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _dump_user(value: Any) -> dict[str, Any]:
    """A user's component as a scenario would name it."""
    return {"name": name_of(value), **TypeAdapter(type(value)).dump_python(value)}


def in_room(room: str, what: str) -> Named:
    """Marks a field that names a component of a room: `Annotated[Base, in_room("submodels", "submodel")]`."""
    return Named(lambda: {name: builtin(room, name) for name in names(room)}, what, room)
