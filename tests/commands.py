"""Running commands as the console would, within this process."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from edgesim.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def edgesim(folder: Path, *arguments: str) -> Done:
    """Run a command here; a process of its own would spend its seconds on importing PyTorch."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["edgesim", *arguments]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code
    else:
        code = 0
    finally:
        sys.argv = argv
    return Done(int(code or 0), out.getvalue(), err.getvalue())
