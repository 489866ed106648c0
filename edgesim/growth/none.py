"""Capacities stay as they are."""

from __future__ import annotations

from typing import ClassVar

from edgesim.growth._growth import GrowthRule
from edgesim.registry import component


@component
class NoGrowth(GrowthRule):
    """Every device keeps the capacity with which it begins."""

    grows: ClassVar[bool] = False
