"""Seconds and joules of a visit.

    download_s = latency_s + 8 bytes_down / (downlink_bps x jitter)
    nominal_s  = (steps x step_overhead_s + train_flops / rate_flops) x jitter x slowdown
    compute_s  = nominal_s, stretched by the device's load and heat (`speed`)
    upload_s   = latency_s + 8 bytes_up / (uplink_bps x jitter)

Where steps were timed on such a device and the scenario asks for it (`cost: measured`), their seconds take
the place of the analytic ones: nominal_s = steps x seconds of a step x jitter x slowdown (see `measured`).

A rate that varies in time is integrated (`rates`). Jitter factors are lognormal with median 1. Every factor
is drawn by device and visit, so it does not depend on what else is charged, or when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.energy import stage_j
from edgesim.devices.fleet import Fleet
from edgesim.devices.jitter import NO_JITTER, Jitter
from edgesim.devices.measured import StepTime
from edgesim.devices.network import Direction
from edgesim.devices.rates import Rates
from edgesim.devices.speed import Speed
from edgesim.learner import Workload
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]

Figure: TypeAlias = Any
"""A column [n], or a number of a single visit: NumPy's arithmetic is the same, to the last bit."""

_BLOCK = 65_536  # devices
_OVERHEAD = 1  # place of the step overhead among the figures


class Phases(NamedTuple):
    """What visits cost, phase by phase, as arrays [n]; of a single visit, as numbers.

    Attributes:
        download_s: seconds from the order leaving the server until the model is there.
        compute_s: seconds of local training; what they would be where the sub-model does not fit.
        upload_s: seconds until the update is at the server.
        fits: whether the workload's peak memory is within the device's.
        energy_download_j: joules of the download, the radio's share included; nan where unknown.
        energy_compute_j: joules of the training; nan where unknown.
        energy_upload_j: joules of the upload, the radio's share included; nan where unknown.
    """

    download_s: Floats
    compute_s: Floats
    upload_s: Floats
    fits: NDArray[np.bool_]
    energy_download_j: Floats
    energy_compute_j: Floats
    energy_upload_j: Floats

    def steps(self) -> tuple[tuple[Floats, Floats], ...]:
        """Seconds and joules of each phase, in order."""
        return (
            (self.download_s, self.energy_download_j),
            (self.compute_s, self.energy_compute_j),
            (self.upload_s, self.energy_upload_j),
        )


class Demands(NamedTuple):
    """What visits ask of their devices; when they are done is a matter of when they begin.

    Arrays [n]; of a single visit, numbers.

    Attributes:
        devices: who does them.
        visits: the how-manieth visit of its device each one is.
        latency_s: one-way delay, paid once per transfer.
        bits_down: of the download.
        down_bps: rate of the device's own link towards it; the mean over time where it varies.
        nominal_s: seconds of the training at full speed; what they would be where the sub-model does not fit.
        bits_up: of the upload.
        up_bps: rate of the device's own link towards the server; likewise.
        fits: whether the workload's peak memory is within the device's.
        down_w: power during the download; nan where unknown.
        down_j_per_bit: joules of each bit beyond that; nan where unknown.
        compute_w: power during the training; nan where unknown.
        up_w: power during the upload; nan where unknown.
        up_j_per_bit: joules of each bit beyond that; nan where unknown.
    """

    devices: Devices
    visits: Devices
    latency_s: Floats
    bits_down: Floats
    down_bps: Floats
    nominal_s: Floats
    bits_up: Floats
    up_bps: Floats
    fits: NDArray[np.bool_]
    down_w: Floats
    down_j_per_bit: Floats
    compute_w: Floats
    up_w: Floats
    up_j_per_bit: Floats

    def rows(self, chosen: Devices) -> Demands:
        """The demands of some of the visits."""
        return Demands._make(column[chosen] for column in self)

    def row(self, row: int) -> Demands:
        """The demand of one of the visits, as numbers."""
        return Demands._make(column[row] for column in self)

    def phases(self) -> Phases:
        """What the visits take at full speed."""
        download_s = self.latency_s + self.bits_down / self.down_bps
        upload_s = self.latency_s + self.bits_up / self.up_bps
        return self.charged(download_s, self.nominal_s, upload_s)

    def charged(self, download_s: Floats, compute_s: Floats, upload_s: Floats) -> Phases:
        """Phases of these seconds with their joules."""
        return Phases(
            download_s,
            compute_s,
            upload_s,
            self.fits,
            stage_j(self.down_w, self.down_j_per_bit, download_s, self.bits_down),
            self.compute_w * compute_s,
            stage_j(self.up_w, self.up_j_per_bit, upload_s, self.bits_up),
        )


@dataclass(frozen=True)
class CostModel:
    """(Workload, device, visit) to seconds and joules per phase.

    Attributes:
        fleet: the devices.
        streams: of the seed of timing.
        timed: whether what was timed on a device takes the place of analytic seconds.
    """

    fleet: Fleet
    streams: Streams
    timed: bool = False
    _steps: dict[tuple[str, int], StepTime] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def speed(self) -> Speed:
        """How fast the devices work over time."""
        return Speed.of(self.fleet, self.streams)

    @cached_property
    def _jitter(self) -> Jitter:
        return Jitter(self.fleet, self.streams)

    @cached_property
    def _columns(self) -> tuple[Floats, ...]:
        """The columns of the fleet that `_demands` reads."""
        fleet = self.fleet
        return (
            fleet.rate_flops,
            fleet.step_overhead_s,
            fleet.downlink_bps,
            fleet.uplink_bps,
            fleet.latency_s,
            fleet.memory_bytes,
            fleet.idle_w,
            fleet.active_w,
            fleet.radio_down_w,
            fleet.radio_up_w,
            fleet.radio_down_j_per_bit,
            fleet.radio_up_j_per_bit,
        )

    @cached_property
    def _figures(self) -> tuple[list[Figure], list[tuple[int, Floats]]]:
        """Of a single device: the figures that all devices share, and the columns of the rest, by place."""
        columns = list(enumerate(self._columns))
        own = [(place, column) for place, column in columns if any(column.strides)]
        return [column.item(0) for _, column in columns], own

    @cached_property
    def rates(self) -> Rates | None:
        """The rates of the devices' own links over time; null where all of them are constant."""
        return Rates(self.fleet, self.streams) if self.fleet.traces else None

    def demands(self, workloads: Sequence[Workload], devices: Devices, visits: Devices) -> Demands:
        """What a batch of visits asks of its devices; bit-equal to asking one by one.

        Args:
            workloads: n workloads.
            devices: the n devices that do them.
            visits: the how-manieth visit of its device each one is.
        """
        down, compute, up = self._jitter.of_all(devices, visits)
        factor = compute * self._slowdown(devices, visits)
        work, figures = self._charged(workloads, devices)
        return _demands(work, figures, devices, visits, down, factor, up)

    def _charged(self, workloads: Sequence[Workload], devices: Devices) -> tuple[_Work, list[Figure]]:
        """Columns of n workloads, or of one for all, and of the figures of n devices.

        Seconds that were timed are a step overhead beside no operations.
        """
        work, figures = _Work.of(workloads), [column[devices] for column in self._columns]
        groups = self.fleet.group[devices]
        places = np.flatnonzero(self._timed_groups[groups])
        if not places.size:
            return work, figures
        each = list(workloads) * (len(devices) if len(workloads) == 1 else 1)
        found = [self._step(each[place], groups.item(place)).seconds for place in places.tolist()]
        overhead_s = np.array(figures[_OVERHEAD])
        overhead_s[places] = np.array(found) * self.fleet.work_scale[devices[places]]
        figures[_OVERHEAD] = overhead_s
        flops = np.broadcast_to(work.train_flops, len(devices)).copy()
        flops[places] = 0.0
        return work._replace(train_flops=flops), figures

    @cached_property
    def _timed_groups(self) -> NDArray[np.bool_]:
        """Per group, whether its seconds are those that were timed."""
        return np.array([self.timed and measured is not None for measured in self.fleet.measured])

    def _step(self, workload: Workload, group: int) -> StepTime:
        """A step of a workload on the devices of a group that were timed."""
        key = (workload.shape, group)
        if key not in self._steps:
            measured = self.fleet.measured[group]
            assert measured is not None
            self._steps[key] = measured.step(workload)
        return self._steps[key]

    def demand(self, workload: Workload, device: int, visit: int) -> Demands:
        """What a single visit asks, as numbers: the same to the last bit, without the price of arrays."""
        down, compute, up = self._jitter.of(device, visit)
        if not (down and up):  # a rate of 0 makes seconds infinite, but only in NumPy's arithmetic
            return self.demands([workload], np.array([device]), np.array([visit])).row(0)
        factor = compute * self._slowdown_of(device, visit)
        shared, own = self._figures
        figures = shared.copy()
        for place, column in own:
            figures[place] = column.item(device)
        work: Figure = workload
        group = self.fleet.group.item(device)
        if self._timed_groups.item(group):
            figures[_OVERHEAD] = self._step(workload, group).seconds * self.fleet.work_scale.item(device)
            work = _Work.one(workload)._replace(train_flops=0.0)
        return _demands(work, figures, device, visit, down, factor, up)

    def phases(self, demands: Demands, start_s: Floats, heat: Floats) -> Phases:
        """What visits take that nothing disturbs.

        Args:
            demands: of n visits.
            start_s: when each one begins.
            heat: of its device then.
        """
        nominal = demands.phases()
        if self.rates is None and not self.speed.varies:
            return nominal
        download_s = self._transfer_s("down", demands, start_s, nominal.download_s)
        cooled = self.speed.cooled(heat, demands.devices, download_s)
        begin_s = start_s + download_s
        compute_s, _ = self.speed.seconds(demands.nominal_s, demands.devices, begin_s, cooled)
        upload_s = self._transfer_s("up", demands, begin_s + compute_s, nominal.upload_s)
        return demands.charged(download_s, compute_s, upload_s)

    def _transfer_s(
        self, direction: Direction, demands: Demands, start_s: Floats, nominal_s: Floats
    ) -> Floats:
        if self.rates is None:
            return nominal_s
        bits = demands.bits_down if direction == "down" else demands.bits_up
        of = (bits, demands.devices, demands.visits, start_s + demands.latency_s)
        return demands.latency_s + self.rates.transfer_s(direction, *of)

    def nominal(self, workloads: Sequence[Workload], devices: Devices, visits: Devices) -> Phases:
        """What visits cost at full speed: with jitter and slowdown, without load and heat."""
        return self.demands(workloads, devices, visits).phases()

    def expected(self, workload: Workload, devices: Devices) -> Phases:
        """What one workload costs each of n devices without jitter, slowdown, load and heat."""
        first, none = np.zeros(len(devices), dtype=np.int64), NO_JITTER
        work, figures = self._charged([workload], devices)
        return _demands(work, figures, devices, first, none, none, none).phases()

    def expected_visits(self, workload: Workload, devices: Devices) -> tuple[Floats, NDArray[np.bool_]]:
        """Expected seconds of a visit and whether its workload fits, [n] each; block by block.

        A fleet of a million would take more memory at once than it does for the whole run.
        """
        seconds, fits = np.empty(len(devices)), np.empty(len(devices), dtype=np.bool_)
        for start in range(0, len(devices), _BLOCK):
            rows = slice(start, start + _BLOCK)
            phases = self.expected(workload, devices[rows])
            seconds[rows] = phases.download_s + phases.compute_s + phases.upload_s
            fits[rows] = phases.fits
        return seconds, fits

    def basis(self, workload: Workload, device: int) -> str:
        """How the seconds of a visit's training are known.

        `timed` where this very step was timed on such a device, `fitted` where others were, and otherwise the
        basis of the device's rate: measured, datasheet, estimated or override.
        """
        group = self.fleet.group.item(device)
        if self._timed_groups.item(group):
            return self._step(workload, group).basis
        return self.fleet.bases[group]

    def _slowdown_of(self, device: int, visit: int) -> float:
        straggler = self.fleet.stragglers[self.fleet.group.item(device)]
        if straggler is None or self.streams.uniform_of("straggler", device, visit) > straggler.probability:
            return 1.0
        return float(straggler.slowdown.quantile(self.streams.uniform_of("slowdown", device, visit)))

    def _slowdown(self, devices: Devices, visits: Devices) -> Floats:
        if not any(self.fleet.stragglers):
            return NO_JITTER
        factor = np.ones(len(devices))
        groups = self.fleet.group[devices]
        for number, straggler in enumerate(self.fleet.stragglers):
            if straggler is None:
                continue
            there = np.flatnonzero(groups == number)
            slowed = self.streams.uniform("straggler", devices[there], visits[there]) <= straggler.probability
            hit = there[slowed]
            if hit.size:
                u = self.streams.uniform("slowdown", devices[hit], visits[hit])
                factor[hit] = straggler.slowdown.quantile(u)
        return factor


class _Work(NamedTuple):
    """What of workloads is charged, as columns [n]; the names are those of a single one."""

    steps: Figure
    train_flops: Figure
    bytes_down: Figure
    bytes_up: Figure
    memory_bytes: Figure

    @classmethod
    def of(cls, works: Sequence[Workload]) -> Self:
        """Of several, a column each."""
        return cls(*np.array([cls.one(work) for work in works], dtype=np.float64).reshape(-1, 5).T)

    @classmethod
    def one(cls, work: Workload) -> Self:
        """Of one, as numbers."""
        return cls(work.steps, work.train_flops, work.bytes_down, work.bytes_up, work.memory_bytes)


def _demands(
    work: Figure,
    figures: Sequence[Figure],
    devices: Figure,
    visits: Figure,
    down: Figure,
    compute: Figure,
    up: Figure,
) -> Demands:
    """What `_Work`, or a single `Workload`, asks of devices with these figures (`CostModel._columns`)."""
    (
        rate_flops,
        overhead_s,
        down_bps,
        up_bps,
        latency_s,
        memory_bytes,
        idle_w,
        active_w,
        down_w,
        up_w,
        down_j_per_bit,
        up_j_per_bit,
    ) = figures
    return Demands(
        devices,
        visits,
        latency_s,
        work.bytes_down * 8,
        down_bps * down,
        (work.steps * overhead_s + work.train_flops / rate_flops) * compute,
        work.bytes_up * 8,
        up_bps * up,
        work.memory_bytes <= memory_bytes,
        idle_w + down_w,
        down_j_per_bit,
        active_w,
        idle_w + up_w,
        up_j_per_bit,
    )
