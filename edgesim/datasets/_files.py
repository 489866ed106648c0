"""Where the files of published data sets lie, and that they are the published ones. Nothing here writes."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.errors import InputError, Problem, RunFailed

ENVIRONMENT = "EDGESIM_DATA"

_REMEDY = f"set data_root, or the environment variable {ENVIRONMENT}"
_REPLACE = "replace it by the published file, or delete it and run with --download where that can fetch it"

_UNPACK = {".gz": gzip.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True, slots=True)
class Publication:
    """The files of a data set, laid out as torchvision does if it knows them.

    Attributes:
        title: name of torchvision's class, or of the data set where torchvision has none.
        folder: where the files are kept, below a data folder.
        names: the files, unpacked.
        packed: what a packed file ends with, which is as good; empty where there is no packed form.
        archive: one file beside the folder that holds them all, if there is such a thing.
        fetched: whether torchvision can download them.
        about: sentences for somebody who does not have them.
    """

    title: str
    folder: str
    names: tuple[str, ...]
    packed: str
    archive: str | None = None
    fetched: bool = True
    about: str = ""


def find(published: Publication, root: Path | None, download: bool) -> dict[str, Path]:
    """The files of a data set by their unpacked names; an archive stands for each file that it holds.

    Args:
        published: what to look for.
        root: searched first, then the folders of EDGESIM_DATA; in each the folder itself and its sub-folders.
        download: whether torchvision may fetch what is missing, into the first of these folders.

    Raises:
        InputError: they are nowhere, and cannot be downloaded or there is no folder to download into.
        RunFailed: the download failed.
    """
    bases = _bases(root)
    found = _look(published, bases)
    if found is None and download and published.fetched:
        _download(published, bases)
        found = _look(published, bases)
    if found is None:
        raise InputError(Problem(_absent(published, bases), path="dataset"))
    return found


def read_one(published: Publication, md5: str, root: Path | None, download: bool) -> bytes:
    """The bytes of a data set that is one file, checked.

    Args:
        published: its one file.
        md5: of the file.
        root: see `find`.
        download: see `find`.

    Raises:
        InputError: see `find`; or it is another file.
        RunFailed: the download failed.
    """
    (path,) = find(published, root, download).values()
    raw = read(path)
    verify(raw, md5, str(path))
    return raw


def read(path: Path) -> bytes:
    """The bytes of a file as it lies there.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", place=str(path))) from error


def unpack(path: Path, raw: bytes) -> bytes:
    """The content of a `.gz` or `.xz` file; that of any other is what it is.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return _UNPACK.get(path.suffix, bytes)(raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(Problem(f"cannot be unpacked ({error}): {_REPLACE}", place=str(path))) from error


def verify(content: bytes, md5: str, place: str) -> None:
    """Check that content is what was published.

    Raises:
        InputError: its checksum is another one.
    """
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != md5:
        raise InputError(Problem(f"has md5 {got}, expected {md5}: {_REPLACE}", place=place))


def _bases(root: Path | None) -> tuple[Path, ...]:
    listed = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    return (*([root] if root is not None else []), *(Path(folder) for folder in listed if folder))


def _candidates(bases: Sequence[Path], inner: str) -> Iterator[Path]:
    for base in bases:
        yield base / inner
        yield from sorted(base.glob(f"*/{inner}"))


def _look(published: Publication, bases: Sequence[Path]) -> dict[str, Path] | None:
    for folder in _candidates(bases, published.folder):
        found = _files_in(folder, published)
        if len(found) == len(published.names):
            return found
    if published.archive is not None:
        for archive in _candidates(bases, published.archive):
            if os.path.isfile(archive):
                return dict.fromkeys(published.names, archive)
    return None


def _files_in(folder: Path, published: Publication) -> dict[str, Path]:
    """The files that a folder has, by their unpacked names; the plain one where both forms are there."""
    forms = (
        (name, folder / f"{name}{suffix}") for name in published.names for suffix in (published.packed, "")
    )
    return {name: path for name, path in forms if os.path.isfile(path)}


def _absent(published: Publication, bases: Sequence[Path]) -> str:
    if not bases:
        fetch = ", and use --download if they are to be fetched" if published.fetched else ""
        return (
            f"the files of {published.title} are needed and no data folder is given: {_REMEDY}{fetch}. "
            f"{_wanted(published)}"
        )
    looked = ", ".join(str(base) for base in bases)
    incomplete = [
        f"; {folder} lacks {', '.join(name for name in published.names if name not in found)}"
        for folder in _candidates(bases, published.folder)
        if (found := _files_in(folder, published))
    ]
    fetch = ", or run with --download" if published.fetched else ""
    where = f"{looked}{''.join(incomplete)}"
    return f"the files of {published.title} are not in {where}. {_wanted(published)}{fetch}"


def _wanted(published: Publication) -> str:
    """Which files to put where."""
    forms = f" (plain or {published.packed})" if published.packed else ""
    archive = f", or {published.archive} beside that folder" if published.archive else ""
    files = f"{', '.join(published.names)}{forms}"
    return f"{published.about}Put {files} into {published.folder}/ below a data folder{archive}"


def _download(published: Publication, bases: Sequence[Path]) -> None:
    if not bases:
        raise InputError(Problem(f"no folder to download {published.title} into: {_REMEDY}", path="dataset"))
    import torchvision.datasets

    fetch: Any = getattr(torchvision.datasets, published.title)
    try:
        fetch(bases[0], download=True)
    except (OSError, RuntimeError) as error:
        raise RunFailed(f"the download of {published.title} into {bases[0]} failed: {error}") from error
