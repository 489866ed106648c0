"""Balanced selection (FjORD; Horvath et al. 2021; algorithms 3.10): as many devices of each class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from edgesim.papers import FJORD
from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.roster import Roster, Subset
from edgesim.server.view import View


@component
class Balanced(SelectionRule):
    """Places are dealt to the fleet's entries in turn, and drawn uniformly within each.

    Dealing goes on where the dispatch before it left off, so that remainders even out. Where an entry has too
    few devices that are idle and present, the next ones get its places.
    """

    papers = (FJORD,)
    depends_on_time: ClassVar[bool] = False

    def pick(self, k: int, view: View) -> Sequence[int]:  # noqa: D102
        classes = classes_of(view.roster)
        first = view.sent % len(classes)
        turns = [*range(first, len(classes)), *range(first)]
        drawn: list[list[int]] = [[] for _ in classes]
        missing = k
        while missing and turns:
            share, rest = divmod(missing, len(turns))
            places = {number: len(drawn[number]) + share + (turn < rest) for turn, number in enumerate(turns)}
            for number, wanted in places.items():
                drawn[number] = view.draw(wanted, number, among=classes[number])
            turns = [number for number in turns if len(drawn[number]) == places[number]]
            missing = k - sum(map(len, drawn))
        return [device for of_class in drawn for device in of_class]


@lru_cache(maxsize=4)
def classes_of(roster: Roster) -> tuple[Subset, ...]:
    """The devices of each fleet entry."""
    return tuple(Subset.of(roster.group == entry) for entry in np.unique(roster.group))
