"""Short ways to an update and to what an aggregation makes of some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from edgesim.aggregation._aggregator import Aggregator, Update


def merged(
    aggregator: Aggregator, before: Mapping[str, Tensor], updates: Iterable[Update]
) -> dict[str, Tensor]:
    """The first version that an aggregation makes."""
    return aggregator.aggregate(before, updates, {})[0]


def sent(
    downloaded: Mapping[str, Tensor], values: Mapping[str, Tensor], weight: float, **more: Any
) -> Update:
    """An update that started from this version."""
    return Update(values, weight, base={name: downloaded[name] for name in values}, **more)
