"""YAML in, validated model out, and for everything that is wrong the file, the line, the key and the remedy.

The YAML that we read is the plain part of YAML 1.2: mappings, lists, text, numbers, true, false and null. Aliases,
anchors, tags and duplicate keys are refused; `yes`, `no` and `on` are text; `1e-3` is a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import yaml
from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from edgesim.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    import pint

T = TypeVar("T")
Path_ = tuple[str | int, ...]

MAXIMUM_BYTES = 1 << 20
MAXIMUM_DEPTH = 50
MAXIMUM_COUNT = 100_000_000

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d+")


# ---------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file: its data, and for each key path the place (`file:line`) where it stands."""

    name: str
    data: Any
    places: Mapping[Path_, str]

    def place(self, path: Path_) -> str:
        """The place of a path, or of the nearest enclosing one that is written in the file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return self.name


def read(path: Path, name: str | None = None) -> Source:
    """Read and parse one YAML file.

    Args:
        path: the file.
        name: how messages call it; the path as given where absent.

    Raises:
        InputError: it cannot be read, is larger than 1 MiB, is not UTF-8 text or not the YAML described above.
    """
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", place=shown)) from error
    if len(raw) > MAXIMUM_BYTES:
        raise InputError(Problem("is larger than 1 MiB and was not parsed", place=shown))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            Problem(f"is not text in UTF-8 (byte {error.start}); is it a YAML file?", place=shown)
        ) from error
    return parse(text, shown)


def parse(text: str, name: str) -> Source:
    """Parse YAML text.

    Raises:
        InputError: with every alias, anchor, tag and duplicate key, or the one syntax error.
    """
    try:
        problems = [Problem(message, place=f"{name}:{line}") for line, message in _refused_events(text)]
        if problems:
            raise InputError(*problems)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise InputError(
            Problem(f"is not valid YAML: {error.problem or error.context}", place=place)
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(Problem(f"is not valid YAML: {str(error).splitlines()[0]}", place=name)) from error
    except RecursionError as error:
        raise InputError(Problem("is nested too deeply", place=name)) from error
    places: dict[Path_, str] = {(): f"{name}:1"}
    data = None if root is None else _construct(root, (), name, places, problems)
    if problems:
        raise InputError(*problems)
    return Source(name, data, places)


def _refused_events(text: str) -> Iterator[tuple[int, str]]:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            yield line, f'alias "*{event.anchor}" is not accepted: write the value out'
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            yield line, f'anchor "&{event.anchor}" is not accepted: write the value out'
        if getattr(event, "tag", None) is not None:
            yield line, f'tag "{event.tag}" is not accepted: write plain values'
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAXIMUM_DEPTH:
                yield line, f"is nested more than {MAXIMUM_DEPTH} levels deep"
                return
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _construct(
    node: yaml.Node, path: Path_, name: str, places: dict[Path_, str], problems: list[Problem]
) -> Any:
    places.setdefault(path, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path, f"{name}:{node.start_mark.line + 1}", problems)
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(item, (*path, index), name, places, problems) for index, item in enumerate(node.value)
        ]
    assert isinstance(node, yaml.MappingNode)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = f"{name}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem("a key must be plain text", show_path(path), place))
            continue
        key = key_node.value
        inner = (*path, key)
        if key in mapping:
            problems.append(Problem("is given twice; keep one", show_path(inner), place))
            continue
        places[inner] = place
        mapping[key] = _construct(value_node, inner, name, places, problems)
    return mapping


def _scalar(node: yaml.ScalarNode, path: Path_, place: str, problems: list[Problem]) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        if len(text) > 30:
            problems.append(Problem(f"is absurdly large: {text[:12]}...", show_path(path), place))
            return None
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            problems.append(Problem(f"is no finite number: {text}", show_path(path), place))
        return number
    return text


def show_path(path: Path_) -> str:
    """A path as people write it: `fleet[1].profile`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


# ------------------------------------------------------------------------------------------- validation


def validate(source: Source, kind: type[T] | TypeAdapter[T], context: Mapping[str, Any] | None = None) -> T:
    """Validate a source against a type.

    Raises:
        InputError: with every problem of the file, each with its place and path.
    """
    adapter: TypeAdapter[T] = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    if not isinstance(source.data, dict):
        given = "empty" if source.data is None else f"a {type(source.data).__name__}"
        raise InputError(
            Problem(f"must be a mapping of keys to values, but it is {given}", place=source.place(()))
        )
    try:
        return adapter.validate_json(json.dumps(source.data), context=dict(context or {}))
    except ValidationError as error:
        schema = adapter.json_schema()
        problems = [_explain(dict(found), source, schema) for found in error.errors(include_url=False)]
        raise InputError(*dict.fromkeys(problems)) from error


def _explain(found: dict[str, Any], source: Source, schema: dict[str, Any]) -> Problem:
    path = _written_path(found["loc"], source.data, missing=found["type"].startswith("missing"))
    return Problem(_message(found, path, source.data, schema), show_path(path), source.place(path))


def _written_path(loc: Path_, data: Any, *, missing: bool) -> Path_:
    """The location without the tags of unions, which are not written in the file."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif missing and index == len(loc) - 1:
            pass
        else:
            continue
        path.append(part)
    return tuple(path)


def _message(found: dict[str, Any], path: Path_, data: Any, schema: dict[str, Any]) -> str:
    kind = found["type"]
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return "is missing, and it is required"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = sorted(_allowed_keys(path[:-1], data, schema))
        return f"unknown key{did_you_mean(str(path[-1]), allowed)} (allowed: {', '.join(allowed)})"
    text = str(found["msg"]).removeprefix("Value error, ")
    if kind in ("value_error", "component", "quantity"):
        return text
    text = text.removeprefix("Input should be ")
    return f"must be {text}, got {_short(found['input'])}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _allowed_keys(path: Path_, data: Any, root: dict[str, Any]) -> set[str]:
    """The keys that the schema allows in the mapping at a path."""
    nodes = [root]
    for part in path:
        nodes = [child for node in nodes for child in _children(node, part, data, root)]
        data = data[part]
    found: set[str] = set()
    for node in nodes:
        for option in _options(node, data, root):
            found |= set(option.get("properties", {}))
    return found


def _children(
    node: dict[str, Any], part: str | int, data: Any, root: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for option in _options(node, data, root):
        if isinstance(part, int):
            if "items" in option:
                yield option["items"]
        elif part in option.get("properties", {}):
            yield option["properties"][part]
        elif isinstance(option.get("additionalProperties"), dict):
            yield option["additionalProperties"]


def _options(node: dict[str, Any], data: Any, root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The alternatives of a schema node that fit the name written in the data."""
    if "$ref" in node:
        yield from _options(root["$defs"][node["$ref"].rsplit("/", 1)[-1]], data, root)
        return
    inner = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())]
    if inner:
        for child in inner:
            yield from _options(child, data, root)
        return
    wanted = node.get("properties", {}).get("name", {}).get("const")
    if wanted is None or not isinstance(data, dict) or data.get("name") == wanted:
        yield node


# ------------------------------------------------------------------------------------------- quantities


@cache
def _units() -> pint.UnitRegistry[float]:
    """The units that edgesim knows. Bits and operations have dimensions of their own, so that MHz is no rate.

    Prefixes are spelt out per unit: with pint's own, `mbit/s` would be millibits.
    """
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(None)
    lines = ["second = [time] = s", "minute = 60 * second = min", "hour = 3600 * second = h"]
    lines += ["day = 86400 * second = d", "ms = 1e-3 * second", "us = 1e-6 * second", "ns = 1e-9 * second"]
    lines += ["bit = [information]", "byte = 8 * bit = B", "flop = [computation] = FLOP"]
    lines += ["joule = [energy] = J", "watt = joule / second = W", "mJ = 1e-3 * joule", "mW = 1e-3 * watt"]
    lines += ["Wh = 3600 * joule", "kJ = 1e3 * joule", "kW = 1e3 * watt", "uW = 1e-6 * watt"]
    for prefix, power in (("k", 3), ("M", 6), ("G", 9), ("T", 12)):
        lines += [f"{prefix}bit = 1e{power} * bit", f"{prefix}B = 1e{power} * byte"]
        lines += [f"{prefix}FLOP = 1e{power} * flop"]
    for prefix, power in (("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)):
        lines += [f"{prefix}bit = {2**power} * bit", f"{prefix}B = {2**power} * byte"]
    registry.load_definitions(lines)
    return registry


_QUANTITY = re.compile(rf"\s*({_NUMBER.pattern})\s*([A-Za-z]+(?:\s*/\s*[A-Za-z]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a float that is written with its unit and held in the base unit.

    Attributes:
        base: the base unit, as in `bit/s`.
        example: how a user writes one.
        zero: whether zero is accepted.
    """

    base: str
    example: str
    zero: bool = True

    def parse(self, given: Any) -> float:
        """The quantity in base units.

        Raises:
            PydanticCustomError: not a finite, non-negative number with a unit of the right dimension.
        """
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise self._refuse(f"must be a quantity such as {self.example}, got {_short(given)}")
        if not isinstance(given, str):
            raise self._refuse(f"needs a unit, as in {self.example}; got the bare number {given}")
        match = _QUANTITY.fullmatch(given)
        if match is None:
            raise self._refuse(f'must be a number and a unit, as in {self.example}; got "{given[:60]}"')
        number, unit = float(match[1]), match[match.lastindex or 0].replace(" ", "")
        value = number * self._factor(unit, given)
        if not math.isfinite(value) or value < 0 or (value == 0 and not self.zero):
            wanted = "zero or more" if self.zero else "more than zero"
            raise self._refuse(f'must be finite and {wanted}, got "{given[:60]}"')
        return value

    def _factor(self, unit: str, given: str) -> float:
        import pint

        registry = _units()
        try:
            return float(registry.Quantity(1.0, unit).to(self.base).magnitude)
        except pint.UndefinedUnitError:
            known = sorted(str(name) for name in registry._units if len(str(name)) < 12)
            parts = [part for part in unit.split("/") if part not in known]
            hint = did_you_mean(parts[0], known) if parts else ""
            raise self._refuse(
                f'unknown unit "{unit}" in "{given[:60]}"{hint} (as in {self.example})'
            ) from None
        except pint.DimensionalityError:
            raise self._refuse(
                f'"{given[:60]}" has the wrong dimension; wanted is one like {self.example}'
            ) from None

    def show(self, value: float) -> str:
        """The quantity as a scenario file writes it, without loss."""
        return f"{value!r} {self.base}"

    @staticmethod
    def _refuse(message: str) -> PydanticCustomError:
        return PydanticCustomError("quantity", "{text}", {"text": message})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ARG002, D102
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(self.show),
        )

    def __get_pydantic_json_schema__(  # noqa: D102  (called by pydantic)
        self,
        schema: core_schema.CoreSchema,
        handler: GetJsonSchemaHandler,  # noqa: ARG002
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_QUANTITY.pattern}$", "examples": [self.example]}


Seconds = Annotated[float, Quantity("s", "30 s")]
PositiveSeconds = Annotated[float, Quantity("s", "30 s", zero=False)]
BitsPerSecond = Annotated[float, Quantity("bit/s", "20 Mbit/s", zero=False)]
FlopsPerSecond = Annotated[float, Quantity("FLOP/s", "5 GFLOP/s", zero=False)]
Bytes = Annotated[float, Quantity("B", "4 GiB", zero=False)]
Watts = Annotated[float, Quantity("W", "6.4 W")]

Count = Annotated[int, Field(ge=1, le=MAXIMUM_COUNT)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
