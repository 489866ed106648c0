"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as a path, from where files reach it by an atomic rename."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file at once, in place of an earlier one.

    Raises:
        OSError: it cannot be written; an earlier file is then as it was.
    """
    with folder_beside(path) as folder:
        (folder / path.name).write_text(text, encoding="utf-8")
        os.replace(folder / path.name, path)


def to_json(value: Mapping[str, Any]) -> str:
    """Indented JSON without the NaN and infinities that JSON does not have.

    Raises:
        TypeError: a value has no form in JSON.
        ValueError: a number is not finite.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
