"""What the shell completes: names that are found without loading PyTorch, so that nobody waits for a key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import typer

from edgesim.errors import InputError


def scenarios(incomplete: str) -> list[str]:
    """Shipped scenarios, and the YAML files of the current folder; the shell adds paths where none fits."""
    from edgesim.document import shipped_names

    return _beginning(incomplete, [*sorted(path.name for path in Path().glob("*.yaml")), *shipped_names()])


def variants(context: typer.Context, incomplete: str) -> list[str]:
    """Variants of the scenario that stands before on the line."""
    from edgesim.document import open_document

    known = context.params
    given = known.get("scenario") or known.get("scenarios") or context.args  # the last while a value lacks
    name = given if isinstance(given, str) else next(iter(given), None)
    if name is None:
        return []
    with contextlib.suppress(InputError):  # the command says what is wrong with the file
        return _beginning(incomplete, open_document(name).variants)
    return []


def profiles(incomplete: str) -> list[str]:
    """Device profiles."""
    from edgesim.devices.profile import Catalogue

    return _beginning(incomplete, Catalogue().names())


def kinds(incomplete: str) -> list[str]:
    """What can be listed."""
    from edgesim.catalogue import KINDS

    return _beginning(incomplete, KINDS)


def schemas(incomplete: str) -> list[str]:
    """Kinds of files that have a JSON Schema."""
    from edgesim.validation import SCHEMAS

    return _beginning(incomplete, SCHEMAS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
