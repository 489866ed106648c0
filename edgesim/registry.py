"""Components: room and file name, or `module:Class`, to the thing that a scenario names.

In an extension room every file is one component. Its file name is its YAML name, the fields of its one
component class are its YAML keys. Nothing has to be listed anywhere: a new file is found by being there. A
user's own component lies in a module beside the scenario, or in any that is installed: `module:Class`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform, get_args

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from edgesim.errors import did_you_mean, show_value

T = TypeVar("T")

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_USER = "<:>"  # the tag of everything that lives outside the package
_WRONG = "<?>"  # the tag of what names nothing; a discriminator itself may not raise


@dataclass_transform(kw_only_default=True, frozen_default=True)
def component(cls: type[T]) -> type[T]:
    """Make a class a component: frozen, keyword-only, its fields are its YAML keys. Lists become tuples."""
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
        if member.__module__ == module.__name__ and _is_component(member)
    ]
    if len(found) != 1:
        raise LookupError(f"edgesim/{room}/{name}.py defines {len(found)} component classes, not one")
    return cast(type[Any], found[0])


def name_of(instance: object) -> str:
    """The name by which a scenario asks for this component: its file, or `module:Class`."""
    target = getattr(instance, "component_name", None)
    if isinstance(target, str):
        return target
    cls = type(instance)
    package, _, module = cls.__module__.rpartition(".")
    return module if package.startswith("edgesim.") else f"{cls.__module__}:{cls.__qualname__}"


def load_target(target: str, beside: Path | None = None) -> Any:
    """What `module:Class` names.

    Args:
        target: the name.
        beside: folder of the scenario, where modules are found too; what is installed comes first.

    Raises:
        ValueError: the module cannot be imported or holds no such name; the message says which. Other errors
            that a user's module raises while it is imported are passed on, with their traceback.
    """
    module_name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ValueError(f"must be module:Class, got {show_value(target)}")
    if beside is not None and str(beside) not in sys.path:
        sys.path.append(str(beside))
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise ValueError(
            f'cannot import module "{module_name}" of "{target}": {error}{_remedy(error, module_name)}'
        ) from error
    if beside is not None:
        _check_origin(module_name.partition(".")[0], beside)
    if not hasattr(module, attribute):
        hint = did_you_mean(attribute, vars(module))
        raise ValueError(f'module "{module_name}" has no {show_value(attribute)}{hint}')
    return getattr(module, attribute)


def _remedy(error: Exception, module: str) -> str:
    """What to do where the module itself was not found, and not one that it imports."""
    if not isinstance(error, ModuleNotFoundError) or error.name not in (module, module.partition(".")[0]):
        return ""
    return f"; {module.replace('.', '/')}.py must lie beside the scenario, or be installed"


def _check_origin(package: str, beside: Path) -> None:
    """A process knows one module of a name: no other may stand in for the one beside the scenario."""
    wanted = [path for path in (beside / f"{package}.py", beside / package / "__init__.py") if path.is_file()]
    loaded = getattr(sys.modules[package], "__file__", None) or "built into Python"
    if wanted and Path(loaded).resolve() not in [path.resolve() for path in wanted]:
        raise ValueError(f'"{package}" beside the scenario is hidden by another one ({loaded}): rename it')


def _user_component(room: str, base: type[Any], given: Any, context: Mapping[str, Any]) -> Any:
    """Take in a component that lives outside the package: an instance, or its name with parameters."""
    if isinstance(given, base):
        return given
    target, parameters = _split(given)
    loaded = load_target(target, context.get("folder"))
    if not _is_component(loaded):
        adapter = _user_adapter(room)
        if adapter is None:
            raise ValueError(f'"{target}" is no component: decorate it with edgesim.registry.component')
        return adapter(target, loaded, parameters)
    if not issubclass(loaded, base):
        raise ValueError(f'"{target}" must be derived from {base.__module__}.{base.__qualname__}')
    known = [field.name for field in fields(loaded)]
    unknown = [key for key in parameters if key not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ValueError(f'"{target}" has no parameter "{unknown[0]}"{hint} (parameters: {", ".join(known)})')
    return TypeAdapter(loaded).validate_json(json.dumps(parameters), context=dict(context))


def _is_component(loaded: object) -> bool:
    return isinstance(loaded, type) and "__pydantic_config__" in vars(loaded)


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
    return given["name"], {key: _frozen(value) for key, value in given.items() if key != "name"}


def _frozen(value: Any) -> Any:
    """Lists as tuples: a component is frozen, and strict validation takes no list for a tuple."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return {key: _frozen(item) for key, item in value.items()} if isinstance(value, dict) else value


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

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        classes = self.choices()
        choices: dict[Any, core_schema.CoreSchema] = {
            _tag_of(name): self._choice(name, cls, handler) for name, cls in classes.items()
        }
        choices[_WRONG] = core_schema.no_info_plain_validator_function(
            lambda given: self._refuse(given, classes)
        )
        if self.room is not None:
            choices[_USER] = self._user_choice(self.room, source)
        return core_schema.tagged_union_schema(choices, discriminator=self._tagger(classes, source))

    def _tagger(self, classes: Mapping[str, type[Any]], base: Any) -> Callable[[Any], str]:
        by_class = {cls: _tag_of(name) for name, cls in classes.items()}

        def tag(given: Any) -> str:
            if type(given) in by_class:
                return by_class[type(given)]
            name = given.get("name") if isinstance(given, dict) else given
            if isinstance(name, str) and name in classes:
                return _tag_of(name)
            outside = ":" in name if isinstance(name, str) else isinstance(given, base)
            return _USER if self.room is not None and outside else _WRONG

        return tag

    @staticmethod
    def _user_choice(room: str, base: type[Any]) -> core_schema.CoreSchema:
        def build(given: Any, info: ValidationInfo) -> Any:
            return _user_component(room, base, given, info.context or {})

        return core_schema.with_info_plain_validator_function(
            build, serialization=core_schema.plain_serializer_function_ser_schema(_dump_user)
        )

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
            known = ", ".join(classes) + (", or module:Class" if self.room is not None else "")
            text = f"no {self.what} {show_value(name)}{did_you_mean(name, classes)} (known: {known})"
        elif isinstance(given, dict):
            text = f"needs a name, one of: {', '.join(classes)}"
        else:
            text = f"must be a name or a mapping with a name, got {show_value(given)}"
        raise PydanticCustomError("component", "{text}", {"text": text})

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        options = [option for name, cls in self.choices().items() for option in _described(name, cls)]
        if self.room is not None:
            outside = {"type": "string", "pattern": ":"}
            options += [outside, {"type": "object", "properties": {"name": outside}, "required": ["name"]}]
        return {"anyOf": options}


def _tag_of(name: str) -> str:
    """Tags stand in the locations of errors, and must not be taken for keys: a deadline has a deadline."""
    return f"<{name}>"


def _described(name: str, cls: type[Any]) -> list[dict[str, Any]]:
    """JSON Schemas of a component: its mapping, and its bare name where no parameter is needed."""
    schema = TypeAdapter(cls).json_schema()
    mapping = _inlined(schema, schema.get("$defs", {}))
    mapping["properties"] = {"name": {"const": name}, **mapping.get("properties", {})}
    needed = mapping.get("required", [])
    mapping["required"] = ["name", *needed]
    return [mapping] if needed else [{"const": name}, mapping]


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without references, so that it can stand inside another."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items() if key != "$defs"}


def _dump_user(value: Any) -> dict[str, Any]:
    """A user's component as a scenario would name it."""
    return {"name": name_of(value), **TypeAdapter(type(value)).dump_python(value)}


def choices_of(field: Any) -> Mapping[str, type[Any]]:
    """The classes by name from which a field that is marked with `Named` chooses."""
    (named,) = (mark for mark in get_args(field) if isinstance(mark, Named))
    return named.choices()


def in_room(room: str, what: str) -> Named:
    """Marks a field that names a component of a room.

    Args:
        room: folder of the package.
        what: what the field names, for messages.
    """
    return Named(lambda: {name: builtin(room, name) for name in names(room)}, what, room)
