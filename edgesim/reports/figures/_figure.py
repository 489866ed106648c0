"""What every figure is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import pandas as pd

from edgesim.results.run import RunResult

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure as Sheet

Look: TypeAlias = Literal["light", "dark"]


class Figure(ABC):
    """A picture of one run or of several, on a screen and on paper.

    Claims:
        title: a few words.
        caption: one sentence: what is drawn and what to look for.
        order: its place in a report; smaller comes first.
    """

    title: ClassVar[str]
    caption: ClassVar[str]
    order: ClassVar[int]

    @abstractmethod
    def data(self, runs: Sequence[RunResult]) -> pd.DataFrame | None:
        """What is drawn, tidy and in base units, with the units in the names of the columns.

        Args:
            runs: at least one; runs of one variant are its seeds.

        Returns:
            A table with at least one row; null where these runs have nothing of the kind.
        """

    @abstractmethod
    def plotly(self, frame: pd.DataFrame, look: Look) -> go.Figure:
        """Draw the table for a screen. The two looks differ in their template alone."""

    @abstractmethod
    def matplotlib(self, frame: pd.DataFrame) -> Sheet:
        """Draw the table for a paper."""
