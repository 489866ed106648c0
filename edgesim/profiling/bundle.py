"""Writing bundles: a folder or one zip with graphs, manifest and the runner that times them.

`edgesim.profiling.runner.reading` reads them, as it must do where edgesim is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesim.errors import InputError, Problem
from edgesim.profiling.runner.errors import BrokenBundle
from edgesim.profiling.runner.reading import MANIFEST, Bundle, open_bundle
from edgesim.profiling.stand_alone import runner_files
from edgesim.results.files import folder_beside

_EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in a zip: equal contents give equal bytes


def is_zip(path: Path) -> bool:
    """Whether a bundle of this name is one file, and not a folder."""
    return path.suffix == ".zip"


def check(path: Path, *, overwrite: bool) -> None:
    """Whether a bundle may be written here.

    Raises:
        InputError: there is one already and it may not be replaced, or something that is none.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        open_bundle(str(path))
    except BrokenBundle as error:
        problem = Problem("is there and is no bundle; give another name with --out", place=str(path))
        raise InputError(problem) from error
    if not overwrite:
        raise InputError(Problem("is a bundle already; replace it with --overwrite", place=str(path)))


def write(path: Path, manifest: Mapping[str, Any], graphs: Mapping[str, bytes], *, overwrite: bool) -> Bundle:
    """Write a bundle at once.

    Args:
        path: a folder, or a file whose name ends in `.zip`.
        manifest: without its checksums.
        graphs: by their names in the bundle.
        overwrite: whether an earlier bundle may be replaced.

    Raises:
        InputError: it may not be written there, or cannot.
    """
    check(path, overwrite=overwrite)
    files = {**graphs, **runner_files()}
    sums = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    text = json.dumps({**manifest, "files": sums}, sort_keys=True, ensure_ascii=False, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(path) as folder:
            fresh = folder / "bundle"
            (_write_zip if is_zip(path) else _write_folder)(fresh, {MANIFEST: text.encode(), **files})
            _put(fresh, path, folder)
    except OSError as error:
        raise InputError(Problem(f"cannot be written ({error.strerror})", place=str(path))) from error
    return open_bundle(str(path))


def pack(bundle: Bundle, file: Path) -> None:
    """Write a bundle that is a folder as one zip; equal bundles give equal bytes.

    Raises:
        BrokenBundle: a file of it is not what its manifest says.
    """
    manifest = (Path(bundle.path) / MANIFEST).read_bytes()
    _write_zip(file, {MANIFEST: manifest, **{name: bundle.read(name) for name in bundle.manifest["files"]}})


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _write_zip(file: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def _put(fresh: Path, path: Path, spare: Path) -> None:
    """Move a new bundle to its place; an old one goes to the spare folder, which is deleted."""
    if path.exists():
        os.replace(path, spare / "before")
    os.replace(fresh, path)
