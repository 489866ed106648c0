"""The console command, as a process of its own."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from edgesim.cli import main
from edgesim.heap import spare_collector


def run() -> None:
    """Run the command that the arguments give, and leave without taking PyTorch apart.

    That would take a second: a million objects are freed one by one. What others have to do at the end is
    done, as functions that are registered first are called last.
    """
    code: str | int | None = 1  # of an error that nobody thought of; its traceback is printed already

    def leave() -> None:
        with suppress(OSError, ValueError):  # a reader has gone, or the stream is closed
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    atexit.register(leave)
    spare_collector()
    try:
        main()
    except SystemExit as stop:
        code = stop.code
        raise


if __name__ == "__main__":
    run()
