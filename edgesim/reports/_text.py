"""Tables and lines as plain text."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable

from rich.console import Console, RenderableType

MINIMUM_WIDTH = 150


def to_text(parts: Iterable[RenderableType], width: int | None = None) -> str:
    """Parts below each other, without colours and trailing blanks; text is not broken, tables fit the width.

    Args:
        parts: tables, or text.
        width: columns; those of the terminal where absent, but never so few that figures would be broken.
    """
    file = io.StringIO()
    columns = width or max(MINIMUM_WIDTH, shutil.get_terminal_size().columns)
    console = Console(file=file, width=columns, color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
