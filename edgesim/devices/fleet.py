"""Fleets: what a scenario writes, and the devices drawn from it, as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Tag, model_validator

from edgesim.devices._strict import Strict
from edgesim.devices.battery_source import BatteryUse
from edgesim.devices.distribution import Distribution
from edgesim.devices.network import Network, NetworkProfile
from edgesim.devices.origin import Figure
from edgesim.devices.profile import Catalogue, DeviceProfile, NetworkName, ProfileName
from edgesim.devices.radio import Radio, figures
from edgesim.devices.straggler import Straggler
from edgesim.rng import Streams
from edgesim.yaml_source import Count, FlopsPerSecond, NonNegative, Positive, PositiveSeconds, Seconds

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


def _network_tag(given: Any) -> str:
    return "links" if isinstance(given, dict | Network) else "named"


class FleetGroup(Strict):
    """One entry of a scenario's `fleet`: so many devices of one kind.

    Attributes:
        profile: name of their device profile.
        count: how many.
        network: name of their network, or its links; the profile's network where absent.
        compute: another compute model than the profile's.
        straggler: how visits are slowed down now and then.
        capacity: the sub-model's capacity on these devices.
        battery: that they run on their batteries; absent: they are plugged in.
    """

    profile: ProfileName
    count: Count
    network: (
        Annotated[
            Annotated[NetworkName, Tag("named")] | Annotated[Network, Tag("links")],
            Discriminator(_network_tag),
        ]
        | None
    ) = None
    compute: ComputeOverride | None = None
    straggler: Straggler | None = None
    capacity: Positive | None = None
    battery: BatteryUse | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A fleet entry with everything that it names looked up, in base units."""

    profile: DeviceProfile
    network: Network
    rate_flops: float
    step_overhead_s: float
    compute_jitter: float
    basis: str

    @property
    def radio(self) -> Radio | None:
        """The profile's own, else that of the network; links that a scenario writes out say nothing of it."""
        of_network = self.network.radio if isinstance(self.network, NetworkProfile) else None
        return self.profile.power.radio or of_network


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """All devices of a federation, as read-only columns [n]; device i is entry i of each.

    Attributes:
        group: number of the fleet entry that the device comes from.
        rate_flops: training FLOPs per second; infinite where seconds per step are given instead.
        step_overhead_s: seconds of each optimiser step beyond its FLOPs; or the seconds per step given.
        compute_jitter: sigma of the lognormal factor of a visit's compute time.
        downlink_bps: bits per second towards the device.
        uplink_bps: bits per second towards the server.
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
        profiles: per group, the name of its device profile.
        stragglers: per group, how its visits are slowed down.
        bases: per group, the basis of its compute seconds: measured, datasheet, estimated or override.
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
    bases: tuple[str, ...]

    @classmethod
    def draw(cls, groups: Sequence[FleetGroup], catalogue: Catalogue, streams: Streams) -> Self:
        """Draw a fleet of one or more groups: the devices of the first, then those of the second, and so on.

        Raises:
            InputError: the catalogue lacks a profile or network, or its file is wrong.
        """
        kinds = [_kind(group, catalogue) for group in groups]
        counts = [group.count for group in groups]
        down_w, up_w, down_j_per_bit, up_j_per_bit = zip(
            *(figures(kind.radio) for kind in kinds), strict=True
        )

        def column(values: Sequence[float]) -> Floats:
            return _locked(np.repeat(np.array(values, dtype=np.float64), counts))

        def drawn(purpose: str, pick: Callable[[Network], Distribution]) -> Floats:
            return _locked(_draw([pick(kind.network) for kind in kinds], counts, streams, purpose))

        return cls(
            group=_locked(np.repeat(np.arange(len(groups), dtype=np.int32), counts)),
            rate_flops=column([kind.rate_flops for kind in kinds]),
            step_overhead_s=column([kind.step_overhead_s for kind in kinds]),
            compute_jitter=column([kind.compute_jitter for kind in kinds]),
            downlink_bps=drawn("network-downlink", lambda network: network.downlink),
            uplink_bps=drawn("network-uplink", lambda network: network.uplink),
            latency_s=drawn("network-latency", lambda network: network.latency),
            network_jitter=column([kind.network.jitter for kind in kinds]),
            memory_bytes=column([kind.profile.memory.value for kind in kinds]),
            idle_w=column([_or_unknown(kind.profile.power.idle) for kind in kinds]),
            active_w=column([_or_unknown(kind.profile.power.active) for kind in kinds]),
            radio_down_w=column(down_w),
            radio_up_w=column(up_w),
            radio_down_j_per_bit=column(down_j_per_bit),
            radio_up_j_per_bit=column(up_j_per_bit),
            capacity=column([np.nan if group.capacity is None else group.capacity for group in groups]),
            profiles=tuple(group.profile for group in groups),
            stragglers=tuple(group.straggler for group in groups),
            bases=tuple(kind.basis for kind in kinds),
        )

    def __len__(self) -> int:
        return len(self.group)

    def profile_of(self, device: int) -> str:
        """Name of the profile of a device."""
        return self.profiles[int(self.group[device])]


def _kind(group: FleetGroup, catalogue: Catalogue) -> _Kind:
    profile = catalogue.load(group.profile)
    network = profile.network if group.network is None else group.network
    return _Kind(
        profile,
        network if isinstance(network, Network) else catalogue.network(network),
        *_compute(profile, group.compute),
    )


def _compute(profile: DeviceProfile, override: ComputeOverride | None) -> tuple[float, float, float, str]:
    """Rate, step overhead, jitter and basis. Seconds per step are a step overhead beside an infinite rate."""
    own = profile.compute
    rate_flops, step_overhead_s = own.rate.value, own.step_overhead.value
    if override is None:
        return rate_flops, step_overhead_s, own.jitter.value if own.jitter else 0.0, own.basis
    if override.rate is not None:
        rate_flops, step_overhead_s = override.rate, override.step_overhead or 0.0
    elif override.seconds_per_step is not None:
        rate_flops, step_overhead_s = np.inf, override.seconds_per_step
    elif override.scale is not None:
        rate_flops, step_overhead_s = rate_flops * override.scale, step_overhead_s / override.scale
    return rate_flops, step_overhead_s, override.jitter, OVERRIDE


def _draw(
    distributions: Sequence[Distribution], counts: Sequence[int], streams: Streams, purpose: str
) -> Floats:
    """One value per device from the distribution of its group, keyed by the device's number."""
    ends = np.cumsum(counts).tolist()
    column = np.empty(ends[-1])
    for distribution, count, end in zip(distributions, counts, ends, strict=True):
        devices = np.arange(end - count, end)
        column[devices[0] : end] = distribution.quantile(streams.uniform(purpose, devices))
    return column


def _or_unknown(figure: Figure[float] | None) -> float:
    return np.nan if figure is None else figure.value


def _locked(column: NDArray[Any]) -> NDArray[Any]:
    column.flags.writeable = False
    return column
