"""The seam between time and learning. No torch here, and no simpy.

The timing half sends orders and asks for aggregations; the learning half answers with workloads, counts and
metrics. Nothing else passes between the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


def is_loss(metric: str) -> bool:
    """Whether a metric is a mean loss over samples, of whichever split."""
    return metric == "loss" or metric.endswith("_loss")


def falls(metric: str) -> bool:
    """Whether less of a metric is better."""
    return is_loss(metric) or metric in ("gap", "distance")


_COORDINATE = re.compile("x[0-9]+")


def coordinate(number: int) -> str:
    """Name of the metric that is a coordinate of the parameters."""
    return f"x{number}"


def is_coordinate(metric: str) -> bool:
    """Whether a metric is a coordinate: neither more nor less of it is better."""
    return _COORDINATE.fullmatch(metric) is not None


class Order(NamedTuple):
    """One visit that the server asks a device for.

    Attributes:
        dispatch: number of the visit in the whole run, from 0.
        device: number of the device in the fleet, from 0.
        visit: the how-manieth visit of this device, from 0; it names the visit's random streams.
        version: version of the model that the device downloads.
        time_s: virtual time at which the order leaves the server.
    """

    dispatch: int
    device: int
    visit: int
    version: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Operator:
    """What one class of operators costs in one training step of a full batch, and how many there are."""

    kind: str
    flops: int
    bytes: int
    calls: int


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a download; equal keys mean equal bytes, so that a multicast can send them once."""

    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Workload:
    """What one visit costs a device, in units that no device owns.

    Attributes:
        shape: hash of cut, first trained layer, batch, optimiser and input: equal shapes cost equal seconds.
        forward_flops: floating-point operations of all forward passes of the visit (2 per multiply-add).
        backward_flops: the same for all backward passes.
        operators: cost of one training step of a full batch by operator class.
        parts_down: what is downloaded.
        bytes_up: what is uploaded.
        memory_bytes: peak memory while training (algorithms 1.4).
        samples: samples processed in the visit, all epochs together.
        steps: optimiser steps of the visit.
        submodel: label for people, such as `fedpmt depth 2`.
        density: trained parameters over all parameters.
        kept: held parameters over all parameters.
        runs: where each batch runs a part of what is held: how often on average, and the workload if every
            batch did.
        bytes_down: of all downloaded parts.
    """

    shape: str
    forward_flops: int
    backward_flops: int
    operators: tuple[Operator, ...]
    parts_down: tuple[Part, ...]
    bytes_up: int
    memory_bytes: int
    samples: int
    steps: int
    submodel: str
    density: float
    kept: float = 1.0
    runs: tuple[tuple[float, Workload], ...] = ()
    bytes_down: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bytes_down", sum(part.bytes for part in self.parts_down))

    @property
    def train_flops(self) -> int:
        """2 x training multiply-adds x samples processed."""
        return self.forward_flops + self.backward_flops


class Aggregation(NamedTuple):
    """What came of one aggregation.

    Attributes:
        updates: number of updates that were merged for the first time: the dispatches that were named.
        mean_density: mean density of their sub-models.
        mean_kept: mean share of the model's parameters that they hold.
        covered_fraction: share of the model's parameters that at least one merged update trained, those of
            earlier aggregations included where they are merged again.
    """

    updates: int
    mean_density: float
    mean_kept: float
    covered_fraction: float


class Learner(Protocol):
    """Whoever does the learning, or only accounts for it.

    Laws: `assign` fixes a workload before anything is trained. Nothing is trained before an aggregation (or a
    question for losses) needs it. What `aggregate` returns does not depend on how the training was grouped,
    beyond float rounding. A dispatch is named at most once in `aggregate` or `release`, and never after.
    """

    def assign(self, orders: Sequence[Order]) -> Sequence[Workload]:
        """Fix the sub-model and the workload of each order."""
        ...

    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:
        """Merge the updates of these dispatches, in this order, into the next version of the model."""
        ...

    def release(self, dispatches: Sequence[int]) -> None:
        """Forget dispatches whose updates will never be used."""
        ...

    def losses(self, dispatches: Sequence[int]) -> Sequence[float | None]:
        """Mean training loss of each aggregated visit; null where nothing is trained."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """Metrics of the current version on held-out data; empty where nothing is trained."""
        ...
