"""Where the files that come with edgesim lie: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from edgesim.errors import EdgesimError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The shipped folder of this name, such as `device_profiles`.

    Raises:
        EdgesimError: this installation lacks it.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise EdgesimError(f"this installation of edgesim lacks its folder {name}/: install edgesim again")
