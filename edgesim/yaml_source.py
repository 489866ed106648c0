"""YAML in, validated model out, and for everything that is wrong the file, the line, the key and the remedy.

The YAML that we read is the plain part of YAML 1.2: mappings, lists, text, numbers, true, false and null.
Aliases, anchors, tags and duplicate keys are refused; keys, `yes` and `on` are text; `1e-3` is a number.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, ValidationInfo

from edgesim.errors import InputError, Problem, did_you_mean, show_value
from edgesim.units import NUMBER
from edgesim.units import Quantity as Quantity

T = TypeVar("T")
KeyPath: TypeAlias = tuple[str | int, ...]

MAXIMUM_BYTES = 1 << 20
MAXIMUM_DEPTH = 50
MAXIMUM_DIGITS = 30
MAXIMUM_COUNT = 100_000_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times faster, where PyYAML has it
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBER = re.compile(NUMBER)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PRINTABLE = r"\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"
_FOREIGN = re.compile(rf"[^{_PRINTABLE}\r\x85]")  # YAML 1.2, section 5.1
_CONTROL = re.compile(rf"[^{_PRINTABLE}]")  # what escapes such as "\0" stand for
_TABBED = re.compile(r" *\t")
_PLAIN_KEY = re.compile(r"[\w./-]{1,60}")


# ---------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file.

    Attributes:
        name: how messages call it.
        data: what it says.
        places: for each key path the place (`file:line`) where it stands.
        question: what the comment in its first line says; empty where there is none.
    """

    name: str
    data: Any
    places: Mapping[KeyPath, str]
    question: str = ""

    def place(self, path: KeyPath) -> str:
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
        InputError: it cannot be read, is larger than 1 MiB, is no UTF-8 text or not the YAML described above.
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
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"{shown}:{raw[: error.start].count(10) + 1}"
        raise InputError(Problem("is not text in UTF-8; is it a YAML file?", place=place)) from error
    return parse(text, shown)


def parse(text: str, name: str) -> Source:
    """Parse YAML text.

    Raises:
        InputError: with every alias, anchor, tag and duplicate key up to the first syntax error, and that.
    """
    foreign = _FOREIGN.search(text)
    if foreign is not None:
        line = text.count("\n", 0, foreign.start()) + 1
        message = f"holds {show_value(foreign[0])}, which is no text; is it a YAML file?"
        raise InputError(Problem(message, place=f"{name}:{line}"))
    builder = _Builder(name, yaml.parse(text, Loader=_LOADER))
    try:
        data = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = text.count("\n", 0, len(text.rstrip())) + 1  # libyaml finds some errors behind the end
        place = f"{name}:{min(mark.line + 1, last)}" if mark else name
        tabs = mark is not None and any(map(_TABBED.match, text.splitlines()[mark.line : mark.line + 1]))
        remedy = "; indent with spaces" if tabs else ""
        message = f"is not valid YAML: {error.problem or error.context}{remedy}"
        builder.problems.append(Problem(message, place=place))
    if builder.problems:
        raise InputError(*builder.problems)
    return Source(name, data, builder.places, _first_comment(text))


def _first_comment(text: str) -> str:
    line = text.partition("\n")[0]
    return line.lstrip("#").strip() if line.startswith("#") else ""


@dataclass
class _Builder:
    """Makes plain data of YAML events, notes where everything stands, and collects what is refused."""

    name: str
    events: Iterator[yaml.Event]
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def document(self) -> Any:
        """The data of the one document; null where there is none."""
        self.places[()] = f"{self.name}:1"
        starts = (event for event in self.events if isinstance(event, yaml.DocumentStartEvent))
        if next(starts, None) is None:
            return None
        data = self._node(next(self.events), ())
        second = next(starts, None)
        if second is not None:
            self._refuse(second, (), "starts a second document; keep one")
        return data

    def _refuse(self, event: yaml.Event, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(message, show_path(path), self._place(event)))

    def _place(self, event: yaml.Event) -> str:
        return f"{self.name}:{event.start_mark.line + 1}"  # type: ignore[union-attr]  # every event has one

    def _node(self, event: yaml.Event, path: KeyPath) -> Any:
        self.places.setdefault(path, self._place(event))
        self._refuse_markup(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.CollectionStartEvent) and len(path) >= MAXIMUM_DEPTH:
            self._refuse(event, (), f"is nested more than {MAXIMUM_DEPTH} levels deep")
            raise InputError(*self.problems)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return None  # an alias, which was refused

    def _refuse_markup(self, event: yaml.Event, path: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, f'alias "*{event.anchor}" is not accepted: write the value out')
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._refuse(event, path, f'anchor "&{event.anchor}" is not accepted: write the value out')
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(event, path, f'tag "{tag}" is not accepted: write plain values')

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._node(event, (*path, "?"))
                self._refuse(event, path, "a key must be plain text")
                self._node(next(self.events), (*path, "?"))
                continue
            inner = (*path, self._text(event, path))
            self._refuse_markup(event, inner)
            if event.value in mapping:
                self._refuse(event, inner, "is given twice; keep one")
            self.places.setdefault(inner, self._place(event))
            mapping[event.value] = self._node(next(self.events), inner)
        return mapping

    def _text(self, event: yaml.ScalarEvent, path: KeyPath) -> str:
        text: str = event.value
        control = _CONTROL.search(text)
        if control is not None:
            self._refuse(event, path, f"holds {show_value(control[0])}, which is no text")
        return text

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Any:
        text = self._text(event, path)
        if event.style not in (None, ""):
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) <= MAXIMUM_DIGITS:
                return int(text)
            self._refuse(event, path, f"is absurdly large: {text[:12]}...")
        elif _NUMBER.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self._refuse(event, path, f"is no finite number: {show_value(text)}")
            return number
        return text


class _Dumper(yaml.SafeDumper):
    """Quotes what `parse` would not read as text; PyYAML itself takes `1e3` for one."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if text in _CONSTANTS or _NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def dump(data: Any) -> str:
    """Plain data as YAML; parsing it gives the same again."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def show_path(path: KeyPath) -> str:
    """A path as people write it: `fleet[1].profile`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += ("." if shown else "") + (part if _PLAIN_KEY.fullmatch(part) else show_value(part))
    return shown


# ------------------------------------------------------------------------------------------- validation


def validate(source: Source, kind: type[T] | TypeAdapter[T], context: Mapping[str, Any] | None = None) -> T:
    """Validate a source against a type.

    Raises:
        InputError: with every problem of the file, each with its place and path.
    """
    adapter: TypeAdapter[T] = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    if not isinstance(source.data, dict):
        given = "it is empty" if source.data is None else f"got {show_value(source.data)}"
        message = f"must be a mapping of keys to values, but {given}"
        raise InputError(Problem(message, place=source.place(())))
    try:
        return adapter.validate_json(json.dumps(source.data), context=dict(context or {}))
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [_explain(dict(each), source, adapter) for each in found if not _emptied(each, found)]
        raise InputError(*dict.fromkeys(problems)) from error


def _emptied(found: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is too short only because pydantic does not count the items that are wrong."""
    loc = found["loc"]
    return found["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in beside
    )


def _explain(found: dict[str, Any], source: Source, adapter: TypeAdapter[Any]) -> Problem:
    path = _written_path(found["loc"], source.data, missing=found["type"].startswith("missing"))
    if found["type"] in _EXTRA:
        message = _unknown_key(path, source.data, adapter.json_schema())
    else:
        message = _message(found)
    return Problem(message, show_path(path), source.place(path))


def _written_path(loc: KeyPath, data: Any, *, missing: bool) -> KeyPath:
    """The location without the tags of unions, which are not written in the file."""
    path: list[str | int] = []
    for part in loc:
        if _holds(data, part):
            data = data[part]
            path.append(part)
    return (*path, loc[-1]) if missing else tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


_EXTRA = ("extra_forbidden", "unexpected_keyword_argument")
_OURS = ("value_error", "component", "quantity")  # messages that are whole sentences already
_WORDS = {
    "an object": "a mapping",
    "a valid array": "a list",
    "a valid dictionary": "a mapping",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
}


def _unknown_key(path: KeyPath, data: Any, schema: dict[str, Any]) -> str:
    allowed = sorted(_allowed_keys(path[:-1], data, schema))
    return f"unknown key{did_you_mean(str(path[-1]), allowed)} (allowed: {', '.join(allowed)})"


def _message(found: dict[str, Any]) -> str:
    kind = found["type"]
    if kind.startswith("missing"):
        return "is missing, and it is required"
    text = str(found["msg"])
    if kind in _OURS:
        return text.removeprefix("Value error, ")
    wanted = re.sub(r"^\w+ should (be )?|( after validation)?, (got|not) .*", "", text)
    hint = ""
    if kind == "literal_error":
        hint = did_you_mean(str(found["input"]), re.findall("'(.*?)'", found["ctx"]["expected"]))
    wanted = wanted.replace("greater than or equal to", "at least").replace(
        "less than or equal to", "at most"
    )
    be = "" if wanted.startswith(("have ", "match ")) else "be "
    return f"must {be}{_WORDS.get(wanted, wanted)}, got {show_value(found['input'])}{hint}"


def _allowed_keys(path: KeyPath, data: Any, root: dict[str, Any]) -> set[str]:
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


# ------------------------------------------------------------------------------------------ field types


Seconds = Annotated[float, Quantity("s", "30 s")]
PositiveSeconds = Annotated[float, Quantity("s", "30 s", zero=False)]
BitsPerSecond = Annotated[float, Quantity("bit/s", "20 Mbit/s", zero=False)]
FlopsPerSecond = Annotated[float, Quantity("FLOP/s", "5 GFLOP/s", zero=False)]
Bytes = Annotated[float, Quantity("B", "4 GiB", zero=False)]
Watts = Annotated[float, Quantity("W", "6.4 W")]
PerSecond = Annotated[float, Quantity("/s", "0.5 / h", zero=False)]
Joules = Annotated[float, Quantity("J", "15 Wh", zero=False)]
JoulesPerBit = Annotated[float, Quantity("J/bit", "12 nJ/bit")]

Count = Annotated[int, Field(ge=1, le=MAXIMUM_COUNT)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
ProperFraction = Annotated[float, Field(ge=0, lt=1)]
AtLeastOne = Annotated[float, Field(ge=1)]


def ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """The values, which have to rise.

    Raises:
        ValueError: one is not above the one before.
    """
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError(f"must rise from each to the next, got {', '.join(f'{each:g}' for each in values)}")
    return values


def _beside(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / os.path.expanduser(path)


BesideScenario = Annotated[Path, AfterValidator(_beside)]
"""A path in a scenario file, relative to its folder; absolute once validated, and so in run directories."""
