"""A scenario file before it is validated: finding it, choosing a variant, overriding values from outside."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias

from edgesim import shipped, yaml_source
from edgesim.errors import InputError, Problem, cut_off, did_you_mean, show_value
from edgesim.yaml_source import MAXIMUM_DEPTH, KeyPath, Source

IN_FOLDER = "scenario.yaml"

Given: TypeAlias = str | Path | Mapping[str, Any]
"""A scenario by its path or name, or what its file would say."""

MAPPING = "scenario"  # how messages call one that is no file

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # names become folders

NAMING = "a name may hold up to 100 letters, digits, dots, dashes and underscores"

_PATH = re.compile(r"[^.\[\]\s]+(?:\.[^.\[\]\s]+|\[[^.\[\]\s]+\])*")
_INDEX = re.compile(r"[0-9]{1,9}")
_NAMES_ALONE = ("network", "throttling", "reference")  # whose names take no parameters


@dataclass(frozen=True)
class Document:
    """A scenario file as read.

    Attributes:
        source: the parsed file.
        path: where it lies.
    """

    source: Source
    path: Path

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of its variants, in the order of the file."""
        given = self.source.data.get("variants") if isinstance(self.source.data, dict) else None
        return tuple(given) if isinstance(given, dict) else ()

    def base(self) -> Source:
        """The scenario without its variants.

        Raises:
            InputError: `variants` is no mapping, or empty.
        """
        data = self.source.data
        if not isinstance(data, dict) or "variants" not in data:
            return self.source
        if not self.variants:
            message = "must map names to what they change, as in fedpmt: {submodel: fedpmt}"
            raise InputError(Problem(message, "variants", self.source.place(("variants",))))
        return replace(self.source, data={key: value for key, value in data.items() if key != "variants"})

    def variant(self, name: str) -> Source:
        """The scenario with what one of its variants changes.

        Raises:
            InputError: there is none of this name, or it is no mapping.
        """
        if name not in self.variants:
            known = f"known: {', '.join(self.variants)}" if self.variants else "the scenario has none"
            message = f'no variant "{name}"{did_you_mean(name, self.variants)} ({known})'
            raise InputError(Problem(message, place=self.source.name))
        root = ("variants", name)
        data = self.source.data["variants"][name]
        problem = None
        if not re.fullmatch(SAFE_NAME, name):
            problem = NAMING
        elif not isinstance(data, dict):
            problem = "must be a mapping of what it changes"
        if problem is not None:
            raise InputError(Problem(problem, yaml_source.show_path(root), self.source.place(root)))
        merged, _ = _merged(self.base(), data)
        changed = {path[2:]: place for path, place in self.source.places.items() if path[:2] == root}
        changed[()] = merged.places[()]
        return replace(merged, places={**merged.places, **changed})


def open_document(given: Given) -> Document:
    """Read a scenario file, by path, by its folder if it is called `scenario.yaml`, or by a shipped name.

    A mapping stands for the file that says the same, in the current folder.

    Raises:
        InputError: there is none, or it cannot be read, or a mapping holds what no file can.
    """
    if isinstance(given, Mapping):
        return Document(_source_of(given), Path.cwd() / IN_FOLDER)
    name = os.fspath(given)
    path = Path(name)
    exists = os.path.isfile(name)  # where Path.is_file raises for names that are too long
    if path.suffix in (".yaml", ".yml") and not os.path.lexists(name):
        beside = [each.name for each in path.parent.glob("*.y*ml") if did_you_mean(path.stem, [each.stem])]
        hint = did_you_mean(path.name, beside) or f"; edgesim init {cut_off(name)} writes one to begin with"
        raise InputError(Problem(f"there is no such file{hint}", place=name))
    if exists or path.suffix in (".yaml", ".yml"):
        return Document(yaml_source.read(path), path.resolve())
    if os.path.isfile(os.path.join(name, IN_FOLDER)):
        return Document(yaml_source.read(path / IN_FOLDER), (path / IN_FOLDER).resolve())
    known = _shipped()
    if name in known:
        return Document(yaml_source.read(known[name], f"{name}.yaml"), known[name])
    if os.path.isdir(name):
        raise InputError(Problem(f"is a folder without {IN_FOLDER}; give a scenario file", place=name))
    hint = did_you_mean(name, known)
    top = ", ".join(each for each in known if "/" not in each)
    shown = f"shipped: {top}; those of papers/ and theory/ are in edgesim list scenarios"
    raise InputError(f'no scenario "{name}"{hint} ({shown}; or give a .yaml file)')


def plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """What a mapping says, as YAML would give it.

    Raises:
        InputError: with everything in it that YAML has no form for.
    """
    problems: list[Problem] = []
    data = _plain_mapping(mapping, (), problems)
    if problems:
        raise InputError(*problems)
    return data


def _source_of(mapping: Mapping[str, Any]) -> Source:
    """What a mapping says. It has no lines, so that a place is the scenario or one of its variants."""
    data = plain(mapping)
    variants = data["variants"] if isinstance(data.get("variants"), dict) else {}
    places: dict[KeyPath, str] = {(): MAPPING}
    for name, changes in variants.items():
        within = f"{MAPPING}, variant {name}"
        places[("variants", name)] = within
        places |= {("variants", name, key): within for key in (changes if isinstance(changes, dict) else ())}
    return Source(MAPPING, data, places)


def _plain(value: Any, path: KeyPath, problems: list[Problem]) -> Any:
    """A value as YAML would give it; what YAML has no form for is a problem."""
    problem = ""
    if len(path) > MAXIMUM_DEPTH:
        problem = f"is nested more than {MAXIMUM_DEPTH} levels deep"
    elif isinstance(value, Mapping):
        return _plain_mapping(value, path, problems)
    elif isinstance(value, list | tuple):
        return [_plain(item, (*path, index), problems) for index, item in enumerate(value)]
    elif isinstance(value, os.PathLike):
        return os.fspath(value)
    elif isinstance(value, Real) and not math.isfinite(value):
        problem = f"is no finite number: {value}"
    elif value is None or isinstance(value, str | bool):
        return value
    elif isinstance(value, Real):  # NumPy's too
        return int(value) if isinstance(value, Integral) else float(value)
    else:
        problem = f"must be text, a number, true, false, a list or a mapping, got {type(value).__name__}"
    problems.append(Problem(problem, yaml_source.show_path(path), MAPPING))
    return None


def _plain_mapping(mapping: Mapping[Any, Any], path: KeyPath, problems: list[Problem]) -> dict[str, Any]:
    keys = [key for key in mapping if not isinstance(key, str)]
    for key in keys:
        problem = f"a key must be text, got {show_value(key)}"
        problems.append(Problem(problem, yaml_source.show_path(path), MAPPING))
    return {
        key: _plain(value, (*path, key), problems) for key, value in mapping.items() if isinstance(key, str)
    }


def shipped_names() -> tuple[str, ...]:
    """Names of the scenarios that come with edgesim, folders included (`papers/...`)."""
    return tuple(_shipped())


def _shipped() -> dict[str, Path]:
    """Shipped scenarios by name; one that brings files of its own is its folder's `scenario.yaml`."""
    root = shipped.folder("scenarios")
    own = {path.parent: path for path in root.rglob(IN_FOLDER)}
    files = (path for path in root.rglob("*.yaml") if not own.keys() & {path.parent, *path.parents})
    found = {path.relative_to(root).with_suffix("").as_posix(): path for path in files}
    found |= {folder.relative_to(root).as_posix(): path for folder, path in own.items()}
    return dict(sorted(found.items()))


def overridden(source: Source, text: str) -> Source:
    """Apply one `key.path=value` of the command line.

    Raises:
        InputError: it is not of this form, the value is no YAML, or a list has no such entry.
    """
    place = f"--set {cut_off(text)}"
    key, equals, value = text.partition("=")
    if not equals or not _PATH.fullmatch(key.strip()):
        raise InputError(Problem("must be key.path=value, as in training.learning_rate=0.1", place=place))
    if not isinstance(source.data, dict):
        return source  # which validation refuses
    try:
        path = path_in(source.data, key.strip())
        return assigned(source, path, yaml_source.parse(value, place).data, place)
    except InputError as error:
        raise InputError(*(replace(problem, place=place) for problem in error.problems)) from error


def assigned(source: Source, path: KeyPath, value: Any, place: str) -> Source:
    """The source with one value merged in, as by a variant; what it changes stands at this place."""
    for part in reversed(path):
        value = {part: value}
    merged, replaced = _merged(source, value)
    return replace(merged, places={**merged.places, **dict.fromkeys(replaced, place)})


def path_in(data: Any, text: str) -> KeyPath:
    """The parts of `fleet[0].count` or `fleet.0.count`; numbers where the data has a list.

    Raises:
        InputError: a list has no such entry.
    """
    path: list[str | int] = []
    for part in re.findall(r"[^.\[\]]+", text):
        if isinstance(data, list):
            index = int(part) if _INDEX.fullmatch(part) else len(data)
            if index >= len(data):
                raise InputError(
                    f"there is no entry [{cut_off(part)}]; the list has {len(data)}, counted from 0"
                )
            path.append(index)
            data = data[index]
        else:
            path.append(part)
            data = data.get(part) if isinstance(data, dict) else None
    return tuple(path)


def _merged(source: Source, changes: Mapping[str, Any]) -> tuple[Source, set[KeyPath]]:
    """A source with changes merged in, less the places of what they replace; and the paths of that."""
    replaced: set[KeyPath] = set()
    data = _merge(source.data, changes, (), replaced)
    places = {
        path: place
        for path, place in source.places.items()
        if not any(path[:end] in replaced for end in range(len(path) + 1))
    }
    return replace(source, data=data, places=places), replaced


def _merge(base: Any, over: Any, path: KeyPath, replaced: set[KeyPath]) -> Any:
    """Mappings merge key by key; another component, a list or a plain value replaces what was there.

    Numbers as keys, which no file has, reach into a list.
    """
    if isinstance(base, str) and isinstance(over, dict) and _has_parameters(path, over):
        replaced.add(path)
        base = {"name": base}
    if isinstance(over, str) and isinstance(base, dict) and "name" in base:
        over = {"name": over}
    if isinstance(base, list) and isinstance(over, dict) and any(isinstance(key, int) for key in over):
        return [
            _merge(item, over[index], (*path, index), replaced) if index in over else item
            for index, item in enumerate(base)
        ]
    if not isinstance(base, dict) or not isinstance(over, dict) or (path and _is_another(base, over)):
        replaced.add(path)
        return over
    return base | {key: _merge(base.get(key), value, (*path, key), replaced) for key, value in over.items()}


def _has_parameters(path: KeyPath, over: Mapping[str, Any]) -> bool:
    """Whether this mapping gives parameters to a component named before, and does not take its place."""
    return "dist" not in over and "trace" not in over and path[-1] not in _NAMES_ALONE


def _is_another(base: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    """Whether two mappings name different components or distributions, which share no parameters."""
    return any(key in base and key in over and base[key] != over[key] for key in ("name", "dist"))
