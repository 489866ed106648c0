"""Full participation: whoever is idle and present is sent out, however many are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.view import View


@component
class All(SelectionRule):
    """Every device that is idle and present, in device order."""

    takes_all: ClassVar[bool] = True
    depends_on_time: ClassVar[bool] = False

    def pick(self, k: int, view: View) -> Sequence[int]:  # noqa: ARG002, D102
        return view.free()
