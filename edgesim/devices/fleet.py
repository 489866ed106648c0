"""Fleets: what a scenario writes, and the devices drawn from it, as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Tag, ValidationInfo, field_validator, model_validator

from edgesim.devices._names import NetworkName, PopulationName, ProfileName
from edgesim.devices._strict import Strict
from edgesim.devices.availability import Always, Availability
from edgesim.devices.battery_source import BatteryUse
from edgesim.devices.distribution import Distribution
from edgesim.devices.measured import Measured
from edgesim.devices.network import Cell, Direction, Network
from edgesim.devices.population import PURPOSES, AnyFigure, DrawnFigure, Population, Quantity, Sizes
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.devices.radio import Radio, figures
from edgesim.devices.rate_trace import RateTrace
from edgesim.devices.straggler import Load, Straggler, Throttling
from edgesim.errors import InputError
from edgesim.rng import Streams
from edgesim.yaml_source import (
    Count,
    FlopsPerSecond,
    NonNegative,
    PerSecond,
    Positive,
    PositiveSeconds,
    Seconds,
)

OVERRIDE = "override"

Floats = NDArray[np.float64]


class ComputeOverride(Strict):
    """Another compute model than the profile's; jitter is off unless given.

    Attributes:
        rate: sustained training rate, in place of the profile's rate and step overhead.
        seconds_per_step: seconds of one optimiser step whatever it computes, in place of both.
        scale: speed relative to the profile: 0.125 makes its rate and its step overhead eight times slower.
        step_overhead: what each step costs beyond its FLOPs; goes with `rate`.
        jitter: sigma of the lognormal factor (median 1) of a visit's compute time.
    """

    rate: FlopsPerSecond | None = None
    seconds_per_step: PositiveSeconds | None = None
    scale: Positive | None = None
    step_overhead: Seconds | None = None
    jitter: NonNegative = 0.0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("rate", "seconds_per_step", "scale")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(ways)}; got {', '.join(given) or 'none'}")
        if self.step_overhead is not None and self.rate is None:
            raise ValueError(f"step_overhead goes with rate only, and here {given[0]} is given")
        return self


def _tag(given: Any) -> str:
    return "written" if isinstance(given, dict | Strict) else "named"


class FleetGroup(Strict):
    """One entry of a scenario's `fleet`: so many devices of one kind.

    Attributes:
        profile: name of their device profile.
        population: name of the population that they are drawn from, instead of a profile.
        count: how many.
        network: name of their network, or its links; that of the profile or population where absent.
        cell: the link that so many of them share.
        compute: another compute model than that of the profile or population.
        straggler: how visits are slowed down now and then.
        slow_devices: how devices are slowed down for the whole run.
        load: other work on the devices, correlated in time.
        throttling: how they slow down by heat; `profile` for what their profile says.
        capacity: the sub-model's capacity on these devices.
        availability: when they are there.
        failures: how often a visit fails per time of work.
        battery: that they run on their batteries; absent: they are plugged in.
    """

    profile: ProfileName | None = None
    population: PopulationName | None = None
    count: Count
    network: (
        Annotated[
            Annotated[NetworkName, Tag("named")] | Annotated[Network, Tag("written")],
            Discriminator(_tag),
        ]
        | None
    ) = None
    cell: Cell | None = None
    compute: ComputeOverride | None = None
    straggler: Straggler | None = None
    slow_devices: Straggler | None = None
    load: Load | None = None
    throttling: (
        Annotated[
            Annotated[Literal["profile"], Tag("named")] | Annotated[Throttling, Tag("written")],
            Discriminator(_tag),
        ]
        | None
    ) = None
    capacity: Positive | None = None
    availability: Availability = Always()
    failures: PerSecond | None = None
    battery: BatteryUse | None = None

    @property
    def device_type(self) -> str:
        """Name of the profile or population."""
        return self.profile or self.population or ""

    def look_up(self, catalogue: Catalogue) -> DeviceProfile | Population:
        """Its profile or population.

        Raises:
            InputError: the catalogue lacks it, or its file is wrong.
        """
        if self.population is None:
            return catalogue.load(self.device_type)
        return catalogue.population(self.population)

    @model_validator(mode="after")
    def _one_type(self) -> Self:
        if (self.profile is None) == (self.population is None):
            given = "both" if self.profile else "neither"
            raise ValueError(f"needs exactly one of profile, population; got {given}")
        if self.population is not None and self.throttling == "profile":
            raise ValueError("throttling: a population says nothing of it; write it out, as {slowdown: 2}")
        return self

    @field_validator("throttling")
    @classmethod
    def _known(cls, given: Any, info: ValidationInfo) -> Any:
        """`throttling: profile` needs a profile that says how its device throttles."""
        catalogue, name = (info.context or {}).get("catalogue"), info.data.get("profile")
        if given == "profile" and catalogue is not None and name is not None:
            try:
                catalogue.throttling(name)
            except InputError as error:
                raise ValueError(str(error)) from error
        return given


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """All devices of a federation, as read-only columns [n]; device i is entry i of each.

    Attributes:
        group: number of the fleet entry that the device comes from.
        rate_flops: training FLOPs per second; infinite where seconds per step are given instead.
        step_overhead_s: seconds of each optimiser step beyond its FLOPs; or the seconds per step given.
        compute_jitter: sigma of the lognormal factor of a visit's compute time.
        downlink_bps: bits per second towards the device; the mean where they vary.
        uplink_bps: bits per second towards the server; likewise.
        latency_s: one-way delay.
        network_jitter: sigma of the lognormal factor of a transfer's rate.
        memory_bytes: installed memory; a workload fits if its peak is within.
        idle_w: power while waiting; nan where unknown.
        active_w: power while training; nan where unknown.
        radio_down_w: power of the radio while it receives, beyond `idle_w`; nan where unknown.
        radio_up_w: the same while it sends.
        radio_down_j_per_bit: joules of each bit received beyond that; nan where unknown.
        radio_up_j_per_bit: joules of each bit sent.
        capacity: the sub-model's capacity as the scenario gives it; nan where it does not.
        profiles: per group, the name of its device profile or population.
        stragglers: per group, how its visits are slowed down.
        loads: per group, other work on its devices.
        throttlings: per group, how its devices slow down by heat.
        work_scale: what measured seconds are multiplied by: how much slower a device is than the one timed.
        measured: per group, what was timed on such a device; null where nothing was or another compute model
            is given.
        bases: per group, the basis of its compute seconds: measured, datasheet, estimated or override.
        traces: what the rates follow that vary in time, by direction and group.
    """

    group: NDArray[np.int32]
    rate_flops: Floats
    step_overhead_s: Floats
    compute_jitter: Floats
    downlink_bps: Floats
    uplink_bps: Floats
    latency_s: Floats
    network_jitter: Floats
    memory_bytes: Floats
    idle_w: Floats
    active_w: Floats
    radio_down_w: Floats
    radio_up_w: Floats
    radio_down_j_per_bit: Floats
    radio_up_j_per_bit: Floats
    capacity: Floats
    profiles: tuple[str, ...]
    stragglers: tuple[Straggler | None, ...]
    loads: tuple[Load | None, ...]
    throttlings: tuple[Throttling | None, ...]
    bases: tuple[str, ...]
    work_scale: Floats
    measured: tuple[Measured | None, ...]
    traces: Mapping[tuple[Direction, int], RateTrace] = field(default_factory=dict)

    @classmethod
    def draw(cls, groups: Sequence[FleetGroup], catalogue: Catalogue, streams: Streams) -> Self:
        """Draw a fleet of one or more groups: the devices of the first, then those of the second, and so on.

        Raises:
            InputError: the catalogue lacks a profile or network, or its file or that of a trace is wrong.
        """
        starts = np.cumsum([0, *(group.count for group in groups)])
        entries = [
            _Entry.of(group, int(first), catalogue, streams)
            for group, first in zip(groups, starts, strict=False)
        ]

        def column(pick: Callable[[_Entry], float | Floats]) -> Floats:
            return _column([pick(entry) for entry in entries], [group.count for group in groups])

        return cls(
            group=_locked(np.repeat(np.arange(len(groups), dtype=np.int32), np.diff(starts))),
            rate_flops=column(lambda entry: entry.rate_flops()),
            step_overhead_s=column(lambda entry: entry.step_overhead_s()),
            compute_jitter=column(lambda entry: entry.compute_jitter()),
            downlink_bps=column(lambda entry: entry.link("downlink", entry.network.downlink)),
            uplink_bps=column(lambda entry: entry.link("uplink", entry.network.uplink)),
            latency_s=column(lambda entry: entry.link("latency", entry.network.latency)),
            network_jitter=column(lambda entry: entry.network.jitter),
            memory_bytes=column(lambda entry: entry.drawn("memory", entry.owner.memory)),
            idle_w=column(lambda entry: entry.drawn("idle_power", entry.owner.power.idle)),
            active_w=column(lambda entry: entry.drawn("active_power", entry.owner.power.active)),
            radio_down_w=column(lambda entry: figures(entry.radio)[0]),
            radio_up_w=column(lambda entry: figures(entry.radio)[1]),
            radio_down_j_per_bit=column(lambda entry: figures(entry.radio)[2]),
            radio_up_j_per_bit=column(lambda entry: figures(entry.radio)[3]),
            capacity=column(lambda entry: np.nan if entry.group.capacity is None else entry.group.capacity),
            profiles=tuple(group.device_type for group in groups),
            stragglers=tuple(group.straggler for group in groups),
            loads=tuple(group.load for group in groups),
            throttlings=tuple(entry.throttling for entry in entries),
            bases=tuple(entry.basis() for entry in entries),
            work_scale=column(lambda entry: entry.work_scale()),
            measured=tuple(entry.measured() for entry in entries),
            traces=_traces([entry.network for entry in entries]),
        )

    def __len__(self) -> int:
        return len(self.group)

    def profile_of(self, device: int) -> str:
        """Name of the profile of a device, or of its population."""
        return self.profiles[int(self.group[device])]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A fleet entry with all that it names looked up; a figure is a number, or [count] if devices differ."""

    group: FleetGroup
    owner: DeviceProfile | Population
    network: Network
    throttling: Throttling | None
    first: int
    streams: Streams

    @classmethod
    def of(cls, group: FleetGroup, first: int, catalogue: Catalogue, streams: Streams) -> Self:
        name, throttling = group.device_type, group.throttling
        owner = group.look_up(catalogue)
        network = owner.network if group.network is None else group.network
        return cls(
            group,
            owner,
            network if isinstance(network, Network) else catalogue.network(network),
            catalogue.throttling(name) if throttling == "profile" else throttling,
            first,
            streams,
        )

    @property
    def radio(self) -> Radio | None:
        """The profile's own, else that of the network."""
        own = self.owner.power.radio if isinstance(self.owner, DeviceProfile) else None
        return own or self.network.radio

    def drawn(self, quantity: Quantity, figure: AnyFigure | None) -> float | Floats:
        """What a profile or a population says of a quantity; nan where it says nothing."""
        if isinstance(figure, DrawnFigure | Sizes):
            return figure.quantile(self._uniform(quantity, self.owner))
        return np.nan if figure is None else figure.value

    def link(self, quantity: Quantity, law: Distribution | RateTrace) -> Floats:
        """A quantity of the network, of a trace its mean; correlated as on the population's own one."""
        if isinstance(law, RateTrace):
            return law.mean_bps(self._devices, self.streams)
        owner = None if self.group.network is not None else self.owner
        return law.quantile(self._uniform(quantity, owner))

    def rate_flops(self) -> float | Floats:
        override = self.group.compute
        if override is None or override.scale is not None:
            rate_flops = self.drawn("rate", self.owner.compute.rate) * self._scale
        else:
            rate_flops = np.inf if override.rate is None else override.rate
        return rate_flops / self._slowness()

    def step_overhead_s(self) -> float | Floats:
        """Seconds per step are a step overhead beside an infinite rate."""
        override = self.group.compute
        if override is None or override.scale is not None:
            overhead_s = self.drawn("step_overhead", self.owner.compute.step_overhead) / self._scale
        else:
            overhead_s = override.seconds_per_step or override.step_overhead or 0.0
        return overhead_s * self._slowness()

    def compute_jitter(self) -> float:
        jitter = self.owner.compute.jitter
        if self.group.compute is not None:
            return self.group.compute.jitter
        return jitter.value if jitter else 0.0

    def work_scale(self) -> float | Floats:
        return self._slowness() / self._scale

    def measured(self) -> Measured | None:
        override = self.group.compute
        if isinstance(self.owner, Population) or (override is not None and override.scale is None):
            return None
        return self.owner.measured

    def basis(self) -> str:
        return self.owner.compute.basis if self.group.compute is None else OVERRIDE

    @property
    def _scale(self) -> float:
        return (self.group.compute and self.group.compute.scale) or 1.0

    @property
    def _devices(self) -> NDArray[np.int64]:
        return np.arange(self.first, self.first + self.group.count)

    def _uniform(self, quantity: Quantity, owner: DeviceProfile | Population | None) -> Floats:
        if isinstance(owner, Population):
            return owner.uniform(quantity, self._devices, self.streams)
        return self.streams.uniform(PURPOSES[quantity], self._devices)

    def _slowness(self) -> float | Floats:
        """What the seconds of each device's work are multiplied by for the whole run."""
        slow = self.group.slow_devices
        if slow is None:
            return 1.0
        chosen = self.streams.uniform("slow-device", self._devices) <= slow.probability
        factor = slow.slowdown.quantile(self.streams.uniform("device-slowdown", self._devices))
        return np.where(chosen, factor, 1.0)


def _traces(networks: Sequence[Network]) -> dict[tuple[Direction, int], RateTrace]:
    """The traces among the rates of the groups' networks."""
    found: dict[tuple[Direction, int], RateTrace] = {}
    for number, network in enumerate(networks):
        if isinstance(network.downlink, RateTrace):
            found["down", number] = network.downlink
        if isinstance(network.uplink, RateTrace):
            found["up", number] = network.uplink
    return found


def _column(figures: Sequence[float | Floats], counts: Sequence[int]) -> Floats:
    """The figures of the entries' devices one after the other; one number for all takes no memory."""
    given = [np.asarray(figure, dtype=np.float64) for figure in figures]
    if len({(figure.ndim, figure.tobytes()) for figure in given}) == 1 and given[0].ndim == 0:
        return np.broadcast_to(given[0], sum(counts))
    parts = [np.broadcast_to(figure, count) for figure, count in zip(given, counts, strict=True)]
    return _locked(np.concatenate(parts))


def _locked(column: NDArray[Any]) -> NDArray[Any]:
    column.flags.writeable = False
    return column
