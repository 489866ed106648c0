"""Tables and lines as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console, RenderableType


def to_text(parts: Iterable[RenderableType], width: int | None = None) -> str:
    """Parts below each other, without colours and trailing blanks; text is never broken, tables fit the width.

    Args:
        parts: tables, or text.
        width: columns of the terminal; found out where absent.
    """
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
