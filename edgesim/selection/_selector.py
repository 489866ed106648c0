"""What selection rules have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from edgesim.papers import Paper
from edgesim.server.view import View


class SelectionRule(ABC):
    """Who is sent out. `edgesim.server.policy.Selector` states the laws.

    Claims:
        reads_loss: it decides by training losses.
        takes_all: it sends out every device that is idle and present, however many are asked for.
        depends_on_time: among the same idle devices it may choose others where visits took another time.
        papers: behind the rule.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    reads_loss: ClassVar[bool] = False
    depends_on_time: ClassVar[bool] = True
    takes_all: ClassVar[bool] = False

    @abstractmethod
    def pick(self, k: int, view: View) -> Sequence[int]:
        """Up to `k` devices that are idle and present, in the order in which they are to be dispatched."""
