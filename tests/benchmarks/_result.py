"""What a benchmark found: two numbers of one run, of which only the ratio counts."""

from __future__ import annotations

import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    Attributes:
        title: the workload and how edgesim runs it.
        plain: what it is measured against, such as seconds of a round of the plain loop.
        edgesim: what is measured, such as seconds of a round of edgesim.
        target: largest ratio of the two that is accepted.
        unit: of both numbers.
    """

    title: str
    plain: float
    edgesim: float
    target: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """What is measured over what it is measured against."""
        return self.edgesim / self.plain

    @property
    def met(self) -> bool:
        """Whether the target is."""
        return self.ratio <= self.target


def results_of(name: str) -> list[Result]:
    """Run one benchmark."""
    return list(importlib.import_module(f"tests.benchmarks.{name}").measure())
