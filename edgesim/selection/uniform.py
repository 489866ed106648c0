"""Uniform selection (McMahan et al. 2017): every device that is idle and present is equally likely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgesim.papers import FEDAVG
from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.view import View


@component
class Uniform(SelectionRule):
    """`k` distinct devices, uniform among those idle and present; its cost does not grow with the fleet."""

    papers = (FEDAVG,)
    depends_on_time: ClassVar[bool] = False

    def pick(self, k: int, view: View) -> Sequence[int]:  # noqa: D102
        return view.draw(k)
