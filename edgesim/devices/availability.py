"""When the devices of a fleet entry are there, as a scenario writes it.

    availability: always
    availability: {name: markov, on: 10 min, off: 1 h}
    availability: {name: diurnal, peak: 0.14, trough: 0.06, peak_hour: 4, session: 15 min}
    availability: {name: trace, file: ready_windows.csv, observations: clients.csv}

A device that leaves while it works loses the dispatch, unless `interrupted: pause` lets it stand still until
the device is back. All times of day are those of the run's clock, which begins at midnight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from edgesim.devices._columns import TABLES
from edgesim.devices._diurnal import DAY_HOURS, HOUR_S, DiurnalLaw, reset_interval_s
from edgesim.devices._law import Ever, Law, MarkovLaw
from edgesim.devices.availability_trace import TraceLaw, Windows
from edgesim.devices.distribution import CONSTANT, Distribution, DrawnSeconds
from edgesim.devices.poisson import Floats, Numbers, Poisson
from edgesim.errors import InputError, Problem
from edgesim.registry import Named, component
from edgesim.rng import Streams
from edgesim.yaml_source import BesideScenario, PositiveSeconds, Probability

_SHORTEST_S, _LONGEST_S = 1e-3, 1e9
_NO_SHIFT = Distribution(CONSTANT, (("value", 0.0),))


def _lasting(mean_s: float) -> float:
    if not _SHORTEST_S <= mean_s <= _LONGEST_S:
        raise ValueError(f"must be between {_SHORTEST_S:g} s and {_LONGEST_S:g} s, got {mean_s:g} s")
    return mean_s


MeanSeconds = Annotated[PositiveSeconds, AfterValidator(_lasting)]


@component
class _Kind(ABC):
    """When devices are there, and what becomes of the work of one that leaves.

    Attributes:
        interrupted: whether it is dropped, or stands still until the device is back.
    """

    interrupted: Literal["drop", "pause"] = "drop"

    @abstractmethod
    def law(self, devices: Numbers, streams: Streams) -> Law:
        """The law of devices with successive numbers.

        Raises:
            InputError: a file is not there or wrong.
        """


@component
class Always(_Kind):
    """Nobody ever leaves."""

    def law(self, devices: Numbers, streams: Streams) -> Law:  # noqa: ARG002
        """The same for all."""
        return Ever()


@component
class Markov(_Kind):
    """Windows of presence and the gaps between them last exponential times, independent of each other.

    Attributes:
        on: mean length of a window.
        off: mean length of a gap.
    """

    on: MeanSeconds
    off: MeanSeconds

    def law(self, devices: Numbers, streams: Streams) -> Law:  # noqa: ARG002
        """Two Poisson processes for each device."""
        return MarkovLaw(
            Poisson(streams, "availability-comings", self.off),
            Poisson(streams, "availability-goings", self.on),
        )


@component
class Diurnal(_Kind):
    """A share of the devices is there that follows the time of day.

    Attributes:
        shares: the mean share of each hour of the day, from midnight on; linear from the middle of an hour to
            that of the next. Or instead a cosine, sampled every hour:
        peak: the highest share.
        trough: the lowest one, twelve hours apart from it.
        peak_hour: when the share is highest.
        session: mean length of a window of presence.
        shift: how far a device's clock is ahead of the run's, as by its time zone; drawn for each device.
    """

    shares: Annotated[tuple[Probability, ...], Field(min_length=DAY_HOURS, max_length=DAY_HOURS)] | None = (
        None
    )
    peak: Probability | None = None
    trough: Probability | None = None
    peak_hour: Annotated[float, Field(ge=0, lt=DAY_HOURS)] | None = None
    session: MeanSeconds
    shift: DrawnSeconds = _NO_SHIFT

    def __post_init__(self) -> None:
        cosine = (self.peak, self.trough, self.peak_hour)
        given = sum(part is not None for part in cosine)
        if given != (3 if self.shares is None else 0):
            raise ValueError("needs either shares, or all of peak, trough and peak_hour")
        if self.peak is not None and self.trough is not None and self.peak < self.trough:
            raise ValueError(f"peak must be at least trough, got {self.peak:g} and {self.trough:g}")
        reset_interval_s(self._day()[1], self.session)

    def law(self, devices: Numbers, streams: Streams) -> Law:
        """Thresholds at the events of a Poisson process for each device."""
        first_s, shares = self._day()
        resets = Poisson(streams, "availability-resets", reset_interval_s(shares, self.session))
        return DiurnalLaw(shares, first_s, resets, int(devices[0]), shifts(self.shift, devices, streams))

    def _day(self) -> tuple[float, Floats]:
        """Time of the first share, and the 24 shares from there on."""
        if self.shares is not None:
            return HOUR_S / 2, np.array(self.shares)
        peak, trough, peak_hour = self.peak or 0.0, self.trough or 0.0, self.peak_hour or 0.0
        high = (1 + np.cos(np.arange(DAY_HOURS) * (2 * np.pi / DAY_HOURS))) / 2
        return peak_hour * HOUR_S, trough + (peak - trough) * high


@component
class Trace(_Kind):
    """Windows as they were recorded. Each device follows one of the recorded clients, over and over again.

    Attributes:
        file: CSV or Parquet with the columns `client`, `start_s` and `end_s`, a row per window.
        observations: likewise `client`, `trace_start_s` and `trace_end_s`: when each client was observed, if
            not all were for the same time. What was observed repeats.
        period: how long all were observed, from the midnight before the first window; absent: whole days.
        clients: whether a device draws its client or takes the next in the order of the numbers.
        shift: how far a device's clock is ahead of the run's, as by its time zone; drawn for each device.
    """

    file: BesideScenario
    observations: BesideScenario | None = None
    period: PositiveSeconds | None = None
    clients: Literal["drawn", "in_order"] = "drawn"
    shift: DrawnSeconds = _NO_SHIFT

    def __post_init__(self) -> None:
        if self.observations is not None and self.period is not None:
            raise ValueError("give observations or period, not both: the observations have their own lengths")

    def law(self, devices: Numbers, streams: Streams) -> Law:
        """The windows of the file, and for each device its client and shift."""
        _check("file", self.file)
        if self.observations is not None:
            _check("observations", self.observations)
        windows = Windows.read(self.file, self.observations, self.period)
        if self.clients == "in_order":
            client = (devices - devices[0]) % len(windows)
        else:
            client = (streams.uniform("availability-client", devices) * len(windows)).astype(np.int64)
        return TraceLaw(
            windows, int(devices[0]), client.astype(np.int32), shifts(self.shift, devices, streams)
        )


def _check(key: str, path: Path) -> None:
    if path.suffix.lower() not in TABLES:
        raise InputError(Problem(f"must be a {' or '.join(TABLES)} file, got {path.name}", path=key))
    if not path.is_file():
        raise InputError(Problem(f"there is no file {path}; correct the path", path=key))


def shifts(shift: Distribution, devices: Numbers, streams: Streams) -> Floats:
    """How far the clock of each device is ahead, [n]; without memory where they are alike."""
    if shift.dist == CONSTANT:
        return np.broadcast_to(shift.quantile(0.5), devices.shape)
    return shift.quantile(streams.uniform("availability-shift", devices))


_KINDS: dict[str, type[Any]] = {"always": Always, "markov": Markov, "diurnal": Diurnal, "trace": Trace}
Availability = Annotated[Always | Markov | Diurnal | Trace, Named(lambda: _KINDS, "availability")]
