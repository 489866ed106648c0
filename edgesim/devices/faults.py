"""Faults of a scenario: what breaks, for whom, and when.

    faults:
      - {name: server_restart, at: 1 h, duration: 5 min}
      - {name: link_outage, network: lte, rate: 0.1 / h, duration: 2 min}
      - {name: class_outage, profile: pixel-6, every: 24 h, duration: 1 h}
      - {name: corrupted_update, probability: 0.01}

Times are listed (`at`), regular (`every`, the first after one interval) or a Poisson process (`rate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Self, TypeAlias

import numpy as np
from pydantic import BeforeValidator

from edgesim.devices._law import Bools
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.outages import AtRandom, Listed, Outage, Outages, Regular, Starts
from edgesim.devices.poisson import Floats, Numbers, Poisson
from edgesim.devices.profile import Catalogue
from edgesim.errors import Problem, did_you_mean, show_value
from edgesim.registry import Named, component
from edgesim.rng import Streams
from edgesim.yaml_source import PerSecond, PositiveSeconds, Probability, Seconds

_ONE_OR_MORE = BeforeValidator(
    lambda given: given if isinstance(given, list | tuple) else (given,),
    json_schema_input_type=Seconds | tuple[Seconds, ...],
)
Times = Annotated[tuple[Seconds, ...], _ONE_OR_MORE]


@component
class _Timed:
    """Something that breaks down for a while, now and then.

    Attributes:
        at: when; one time or several.
        every: seconds from one beginning to the next.
        rate: how often on average, at random.
        duration: how long it lasts.
    """

    at: Times | None = None
    every: PositiveSeconds | None = None
    rate: PerSecond | None = None
    duration: PositiveSeconds

    def __post_init__(self) -> None:
        _exactly_one({"at": self.at, "every": self.every, "rate": self.rate})
        interval_s = self.every or (1 / self.rate if self.rate else np.inf)
        if self.duration >= interval_s:
            shown = f"must be shorter than the interval of {interval_s:g} s"
            raise ValueError(f"duration {shown}, got {self.duration:g} s")

    def outage(self, number: int, streams: Streams) -> Outage:
        """When it breaks down; `number` is that of the fault and names its random times."""
        return Outage(self._starts(number, streams), self.duration)

    def _starts(self, number: int, streams: Streams) -> Starts:
        if self.at is not None:
            return Listed(tuple(sorted(self.at)))
        if self.every is not None:
            return Regular(self.every)
        assert self.rate is not None
        return AtRandom(Poisson(streams, "fault", 1 / self.rate), number)


def _exactly_one(ways: dict[str, Any]) -> None:
    given = [name for name, value in ways.items() if value]
    if len(given) != 1:
        raise ValueError(f"needs exactly one of {', '.join(ways)}; got {', '.join(given) or 'none'}")


@component
class ServerRestart(_Timed):
    """The server is away: what is on its way to it or from it is lost."""


@component
class LinkOutage(_Timed):
    """Links carry nothing: the transfers on them stand still until it is over.

    Attributes:
        network: name of a network; the links of all devices on it.
        profile: name of a device profile; the links of all its devices.
        server: the server's own links.
    """

    network: str | None = None
    profile: str | None = None
    server: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _exactly_one({"network": self.network, "profile": self.profile, "server": self.server})


@component
class ClassOutage(_Timed):
    """All devices of a kind are absent.

    Attributes:
        profile: name of their device profile.
    """

    profile: str


@component
class CorruptedUpdate:
    """An update arrives broken and is rejected.

    Attributes:
        probability: of each update, independent of all others.
        profile: name of a device profile whose updates are meant; all where absent.
    """

    probability: Probability
    profile: str | None = None


AnyFault: TypeAlias = ServerRestart | LinkOutage | ClassOutage | CorruptedUpdate
_KINDS: dict[str, type[Any]] = {
    "server_restart": ServerRestart,
    "link_outage": LinkOutage,
    "class_outage": ClassOutage,
    "corrupted_update": CorruptedUpdate,
}
Fault = Annotated[AnyFault, Named(lambda: _KINDS, "fault")]


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """Everything that breaks in a run.

    Attributes:
        streams: that corrupted updates are drawn from.
        server: when the server restarts.
        server_links: when the server's links are down.
        links: per fleet entry, when its devices' links are down.
        absences: per fleet entry, when all its devices are absent; `Presence.draw` takes them.
        corruption: per fleet entry, probability that an update is corrupted.
        ends: per fleet entry, the number behind that of its last device.
    """

    streams: Streams
    server: Outages
    server_links: Outages
    links: tuple[Outages, ...]
    absences: tuple[Outages, ...]
    corruption: Floats
    ends: Numbers

    @classmethod
    def draw(
        cls, faults: Sequence[AnyFault], groups: Sequence[FleetGroup], catalogue: Catalogue, streams: Streams
    ) -> Self:
        """The faults of a fleet of these entries."""
        timed = [
            (fault, fault.outage(number, streams))
            for number, fault in enumerate(faults)
            if isinstance(fault, _Timed)
        ]

        def outages(hits: Callable[[_Timed], bool]) -> Outages:
            return Outages(tuple(outage for fault, outage in timed if hits(fault)))

        kinds = [(group.device_type, _network(group, catalogue)) for group in groups]
        return cls(
            streams,
            server=outages(lambda fault: isinstance(fault, ServerRestart)),
            server_links=outages(lambda fault: isinstance(fault, LinkOutage) and fault.server),
            links=tuple(outages(partial(_cuts, profile, network)) for profile, network in kinds),
            absences=tuple(outages(partial(_removes, profile)) for profile, _ in kinds),
            corruption=np.array([_corruption(faults, profile) for profile, _ in kinds]),
            ends=np.cumsum([group.count for group in groups]),
        )

    @property
    def interrupt(self) -> bool:
        """Whether anything ever makes transfers stand still or lose their visits."""
        return bool(self.server or self.server_links or any(self.links))

    def corrupted(self, devices: Numbers, visits: Numbers) -> Bools:
        """Whether the update of each visit is corrupted, [n]."""
        probability = self.corruption[np.searchsorted(self.ends, devices, side="right")]
        if not probability.any():
            return np.zeros(len(devices), dtype=bool)
        return self.streams.uniform("corrupted-update", devices, visits) < probability


def _network(group: FleetGroup, catalogue: Catalogue) -> str | None:
    """Name of the network of a fleet entry; null where it has links of its own."""
    if group.network is None:
        name = group.device_type
        owner = catalogue.load(name) if group.population is None else catalogue.population(name)
        return owner.network
    return group.network if isinstance(group.network, str) else None


def _cuts(profile: str, network: str | None, fault: _Timed) -> bool:
    """Whether a fault cuts the links of devices of this profile on this network."""
    if not isinstance(fault, LinkOutage) or fault.server:
        return False
    return network == fault.network if fault.profile is None else profile == fault.profile


def _removes(profile: str, fault: _Timed) -> bool:
    """Whether a fault makes the devices of this profile absent."""
    return isinstance(fault, ClassOutage) and fault.profile == profile


def _corruption(faults: Sequence[AnyFault], profile: str) -> float:
    """Probability that at least one of the faults corrupts an update."""
    sound = [
        1 - fault.probability
        for fault in faults
        if isinstance(fault, CorruptedUpdate) and fault.profile in (None, profile)
    ]
    return float(1 - np.prod(sound))


def misfits(faults: Sequence[AnyFault], groups: Sequence[FleetGroup], catalogue: Catalogue) -> list[Problem]:
    """A problem for each profile and network that a fault names and the fleet does not have."""
    there = {
        "profile": {group.device_type for group in groups},
        "network": {name for group in groups if (name := _network(group, catalogue)) is not None},
    }
    problems = []
    for number, fault in enumerate(faults):
        for key, known in there.items():
            name = getattr(fault, key, None)
            if name is not None and name not in known:
                shown = f"no entry of the fleet has the {key} {show_value(name)}{did_you_mean(name, known)}"
                listed = f" (it has {', '.join(sorted(known)) or 'none'})"
                problems.append(Problem(shown + listed, f"faults[{number}].{key}"))
    return problems
