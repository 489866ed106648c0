"""edgesim: which sub-model method finishes a federated learning task first, and by how much time?"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesim.api import compare, read, run
    from edgesim.errors import EdgesimError, InputError, RunFailed
    from edgesim.reports.comparison import Comparison
    from edgesim.results.run import RunResult

__version__ = version("edgesim")

__all__ = [
    "Comparison",
    "EdgesimError",
    "InputError",
    "RunFailed",
    "RunResult",
    "__version__",
    "compare",
    "read",
    "run",
]

_HOMES = {
    "Comparison": "edgesim.reports.comparison",
    "EdgesimError": "edgesim.errors",
    "InputError": "edgesim.errors",
    "RunFailed": "edgesim.errors",
    "RunResult": "edgesim.results.run",
    "compare": "edgesim.api",
    "read": "edgesim.api",
    "run": "edgesim.api",
}


def __getattr__(name: str) -> Any:
    """A public name from the module that has it, loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
