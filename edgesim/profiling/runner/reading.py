"""Reading a bundle: a folder or one zip with a manifest; every file is checked before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from edgesim.profiling.runner.errors import BrokenBundle

MANIFEST = "manifest.json"
FORMAT = 1
KINDS = ("step", "inference")
OPERATORS = {"step": "operators", "inference": "inference_operators"}
DTYPES = ("float32", "int64")
FILLS = {
    "normal": ("mean", "std", "seed"),
    "integers": ("below", "seed"),
    "constant": ("value",),
    "bernoulli": ("keep", "seed"),
}
COPY_AGAIN = "copy the bundle again, or export it again"

_LARGEST_MANIFEST_BYTES = 1 << 28
_SAFE_NAME = re.compile(r"[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Graph:
    """One ONNX graph of a bundle.

    Attributes:
        shape: hash of the sub-model shape that it computes.
        kind: "step" (a training step) or "inference".
        labels: the sub-models that have this shape.
        batch: samples per run.
        file: its name in the bundle.
        sha256: checksum of that file, in hexadecimal digits.
        size_bytes: length of that file.
        inputs: name, dtype, shape and fill of each input.
        operators: what it computes, per class of operators, as the manifest counts it.
    """

    shape: str
    kind: str
    labels: tuple[str, ...]
    batch: int
    file: str
    sha256: str
    size_bytes: int
    inputs: tuple[dict[str, Any], ...]
    operators: tuple[dict[str, Any], ...]

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.labels[0] if self.labels else self.shape}, batch {self.batch}, {self.kind}"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened; its files are read when asked for.

    Attributes:
        path: the folder or the zip.
        sha256: checksum of the manifest, which names those of all other files.
        manifest: what `manifest.json` says.
        graphs: every graph in it, in the manifest's order.
    """

    path: str
    sha256: str
    manifest: dict[str, Any]
    graphs: tuple[Graph, ...]

    def verify(self) -> None:
        """Hold every file of the bundle against its checksum.

        Raises:
            BrokenBundle: a file is not what the manifest says, or cannot be read.
        """
        for name, entry in self.manifest["files"].items():
            read_verified(self.path, name, entry["sha256"], entry["bytes"])

    def read(self, name: str) -> bytes:
        """One file that the manifest names, verified.

        Raises:
            BrokenBundle: the manifest does not name it, it is not what the manifest says, or cannot be read.
        """
        if name not in self.manifest["files"]:
            raise BrokenBundle(f"{self.path}: {MANIFEST} names no file {name!r}; {COPY_AGAIN}")
        entry = self.manifest["files"][name]
        return read_verified(self.path, name, entry["sha256"], entry["bytes"])


def open_bundle(path: str) -> Bundle:
    """The bundle at this path; its manifest is checked, its other files are not read yet.

    Raises:
        BrokenBundle: there is none, or its manifest is not as this runner knows it.
    """
    raw = _read(path, MANIFEST)
    place = f"{path}: {MANIFEST}"
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BrokenBundle(f"{place} is not JSON ({error}); {COPY_AGAIN}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise BrokenBundle(
            f"{place} has format {found!r}, this runner reads {FORMAT}; export the bundle again"
        )
    for name, entry in _get(manifest, "files", dict, place).items():
        _refuse_unsafe(path, name)
        _get(entry, "sha256", str, f"{place}: files[{name!r}]")
        _get(entry, "bytes", int, f"{place}: files[{name!r}]")
    graphs = tuple(_graphs(manifest, place))
    if len({(graph.shape, graph.kind) for graph in graphs}) < len(graphs):
        raise BrokenBundle(f"{place} has two graphs of one shape and kind; export the bundle again")
    return Bundle(path, hashlib.sha256(raw).hexdigest(), manifest, graphs)


def read_verified(path: str, name: str, sha256: str, size_bytes: int) -> bytes:
    """A file of the bundle at `path` that has this checksum and length.

    Raises:
        BrokenBundle: it has another, cannot be read, or lies outside the bundle.
    """
    raw = _read(path, name, size_bytes)
    if len(raw) != size_bytes or hashlib.sha256(raw).hexdigest() != sha256:
        raise BrokenBundle(f"{path}: {name} does not have the checksum that {MANIFEST} says; {COPY_AGAIN}")
    return raw


def _graphs(manifest: dict[str, Any], place: str) -> Iterator[Graph]:
    for number, shape in enumerate(_get(manifest, "shapes", list, place)):
        where = f"{place}: shapes[{number}]"
        labels = tuple(str(label) for label in _get(shape, "labels", list, where))
        for kind in KINDS:
            if shape.get(kind) is not None:
                entry = _get(shape, kind, dict, where)
                file = _get(entry, "file", str, f"{where}.{kind}")
                sums = _get(manifest["files"], file, dict, f"{place}: files")
                yield Graph(
                    shape=_get(shape, "shape", str, where),
                    kind=kind,
                    labels=labels,
                    batch=_get(shape, "batch", int, where),
                    file=file,
                    sha256=sums["sha256"],
                    size_bytes=sums["bytes"],
                    inputs=tuple(_inputs(entry, f"{where}.{kind}")),
                    operators=tuple(_get(shape, OPERATORS[kind], list, where)),
                )


def _inputs(entry: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
    for number, tensor in enumerate(_get(entry, "inputs", list, place)):
        where = f"{place}.inputs[{number}]"
        found = {
            "name": _get(tensor, "name", str, where),
            "dtype": _get(tensor, "dtype", str, where),
            "shape": _get(tensor, "shape", list, where),
            "fill": _get(tensor, "fill", dict, where),
        }
        if found["dtype"] not in DTYPES:
            raise BrokenBundle(f"{where}: no dtype {found['dtype']!r}; export the bundle again")
        if not all(isinstance(size, int) and size >= 0 for size in found["shape"]):
            raise BrokenBundle(
                f"{where}: the shape {found['shape']} is not one of fixed sizes; export it again"
            )
        fill = tensor["fill"]
        keys = FILLS.get(fill.get("kind"), ("kind",))
        if not all(isinstance(fill.get(key), (int, float)) for key in keys):
            raise BrokenBundle(f"{where}: this runner knows no fill {fill}; export the bundle again")
        yield found


def _get(mapping: Any, key: str, kind: type[_T], place: str) -> _T:
    found = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise BrokenBundle(f"{place} lacks {key!r} ({kind.__name__}), or has it wrong; {COPY_AGAIN}")
    return found


def _refuse_unsafe(path: str, name: str) -> None:
    if not _SAFE_NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise BrokenBundle(f"{path}: the path {name!r} may leave the bundle; do not use this bundle")


def _read(path: str, name: str, size_bytes: int = _LARGEST_MANIFEST_BYTES) -> bytes:
    _refuse_unsafe(path, name)
    try:
        with _opened(path, name) as stream:
            return stream.read(size_bytes + 1)  # no more, whatever a zip unpacks to
    except KeyError as error:
        raise BrokenBundle(f"{path}: has no {name}; {COPY_AGAIN}") from error
    except zipfile.BadZipFile as error:
        raise BrokenBundle(f"{path}: neither a folder nor a whole zip ({error}); {COPY_AGAIN}") from error
    except (OSError, zlib.error, RuntimeError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenBundle(f"{path}: {name} cannot be read ({reason}); {COPY_AGAIN}") from error


@contextmanager
def _opened(path: str, name: str) -> Iterator[IO[bytes]]:
    if not os.path.isdir(path):
        with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
            yield stream
        return
    root = os.path.realpath(path)
    file = os.path.realpath(os.path.join(root, *name.split("/")))
    if os.path.commonpath([root, file]) != root:
        raise BrokenBundle(f"{path}: {name} is a link that leaves the bundle; do not use this bundle")
    with open(file, "rb") as stream:
        yield stream
