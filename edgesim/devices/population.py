"""Populations: devices that all differ, drawn from distributions with the correlations that data show.

A file `populations/<name>.yaml` looks like a device profile with a distribution in place of each number. The
figures are tied together by a Gaussian copula: each is the quantile of a uniform number, and the normal
scores of these have the correlation 2 sin(pi r / 6) that gives the rank correlation r (Kruskal 1958).
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgesim.devices._names import NetworkName
from edgesim.devices._strict import Strict
from edgesim.devices.distribution import Distribution, DrawnFlopsPerSecond, DrawnSeconds, DrawnWatts
from edgesim.devices.origin import Basis, Figure, Origin, Text, check_range, weakest
from edgesim.rng import Streams
from edgesim.yaml_source import Bytes, FlopsPerSecond, NonNegative, Positive, Seconds, Watts

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]
T = TypeVar("T", bound=float)
D = TypeVar("D", bound=Distribution)

Quantity: TypeAlias = Literal[
    "rate", "step_overhead", "memory", "idle_power", "active_power", "downlink", "uplink", "latency"
]
"""What differs from device to device, and may be correlated."""

PURPOSES: dict[Quantity, str] = {
    "rate": "population-rate",
    "step_overhead": "population-step-overhead",
    "memory": "population-memory",
    "idle_power": "population-idle-power",
    "active_power": "population-active-power",
    "downlink": "network-downlink",
    "uplink": "network-uplink",
    "latency": "network-latency",
}
_LEAST_EIGENVALUE = 1e-6


class DrawnFigure(Origin[T], Generic[T, D]):
    """A distribution with its origin; the range holds its median."""

    value: D

    @property
    def median(self) -> float:
        """What the middle device has."""
        return float(self.quantile(np.array(0.5)))

    def quantile(self, u: Floats) -> Floats:
        """Values in base units at these probabilities."""
        return self.value.quantile(u)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        check_range(self.low, self.median, self.high, "median")
        return self


class Sizes(Origin[Bytes]):
    """Memory comes in sizes.

    Attributes:
        value: each size with its weight: a share, or how many of the data have it.
    """

    value: Annotated[dict[Bytes, Positive], Field(min_length=1)]

    @property
    def median(self) -> float:
        """What the middle device has."""
        return float(self.quantile(np.array(0.5)))

    def quantile(self, u: Floats) -> Floats:
        """Sizes in bytes at these probabilities."""
        sizes = sorted(self.value)
        upto = np.cumsum([self.value[size] for size in sizes])
        chosen: Floats = np.array(sizes)[np.searchsorted(upto[:-1] / upto[-1], u)]
        return chosen

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        check_range(self.low, self.median, self.high, "median")
        return self


AnyFigure: TypeAlias = Figure[float] | DrawnFigure[float, Distribution] | Sizes


class PopulationCompute(Strict):
    """The analytic compute model of a profile, with what differs between devices.

    Attributes:
        rate: sustained training rate (2 FLOPs per multiply-add).
        step_overhead: what each optimiser step costs beyond its FLOPs.
        jitter: sigma of the lognormal factor (median 1) of a visit's compute time; off where absent.
    """

    rate: DrawnFigure[FlopsPerSecond, DrawnFlopsPerSecond]
    step_overhead: DrawnFigure[Seconds, DrawnSeconds]
    jitter: Figure[NonNegative] | None = None

    @property
    def basis(self) -> Basis:
        """The weaker basis of rate and step overhead."""
        return weakest(self.rate.basis, self.step_overhead.basis)


class PopulationPower(Strict):
    """Power of the whole device; absent means unknown.

    Attributes:
        idle: while it waits or transfers.
        active: while it trains.
    """

    idle: DrawnFigure[Watts, DrawnWatts] | None = None
    active: DrawnFigure[Watts, DrawnWatts] | None = None


class Correlation(Figure[Annotated[float, Field(gt=-1, lt=1)]]):
    """Spearman's rank correlation of two quantities; of memory, before it is cut into sizes.

    Attributes:
        between: the two.
    """

    between: tuple[Quantity, Quantity]


class Population(Strict):
    """Devices that all differ.

    Attributes:
        title: who they are, for people.
        kind: what sort of device they are.
        compute: how fast they train.
        memory: installed memory.
        power: what they draw.
        network: name of the network they are on unless a scenario says otherwise.
        correlations: of pairs of quantities; every other pair is uncorrelated. Those of the links hold on the
            population's own network only.
    """

    title: Text
    kind: Literal["boards", "phones"]
    compute: PopulationCompute
    memory: Sizes
    power: PopulationPower = PopulationPower()
    network: NetworkName
    correlations: tuple[Correlation, ...]

    def uniform(self, quantity: Quantity, devices: Devices, streams: Streams) -> Floats:
        """The uniform numbers that these devices' figures are the quantiles of, [n]."""
        from scipy.special import ndtr, ndtri

        names = self._correlated()
        if quantity not in names:
            return streams.uniform(PURPOSES[quantity], devices)
        place = names.index(quantity)
        row = np.linalg.cholesky(self._normal_scores())[place]
        score = np.zeros(len(devices))
        for name, weight in zip(names[: place + 1], row, strict=False):
            score += weight * ndtri(streams.uniform(PURPOSES[name], devices))
        uniform: Floats = ndtr(score)
        return uniform

    def _correlated(self) -> tuple[Quantity, ...]:
        found = {name for correlation in self.correlations for name in correlation.between}
        return tuple(name for name in PURPOSES if name in found)

    def _normal_scores(self) -> Floats:
        """Correlation matrix of the normal scores, over `_correlated`."""
        names = self._correlated()
        matrix = np.eye(len(names))
        for correlation in self.correlations:
            i, j = (names.index(name) for name in correlation.between)
            matrix[i, j] = matrix[j, i] = 2 * np.sin(np.pi * correlation.value / 6)
        return matrix

    @model_validator(mode="after")
    def _possible(self) -> Self:
        pairs = [frozenset(correlation.between) for correlation in self.correlations]
        twice = next((pair for pair in pairs if len(pair) == 1 or pairs.count(pair) > 1), None)
        if twice is not None:
            raise ValueError(
                f"correlations: each is between two quantities and given once; got {sorted(twice)} otherwise"
            )
        if self.correlations and np.linalg.eigvalsh(self._normal_scores())[0] < _LEAST_EIGENVALUE:
            raise ValueError(
                "correlations: no figures can have all of these at once; where A goes with B and B with C, "
                "give that of A and C too, or bring some nearer to 0"
            )
        return self
