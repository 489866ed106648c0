"""Device profiles: what one kind of device can do and how we know, and where the files are found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from edgesim import shipped, yaml_source
from edgesim.devices._names import NetworkName
from edgesim.devices._strict import Strict
from edgesim.devices.battery_source import BatteryProfile
from edgesim.devices.measured import Measured
from edgesim.devices.network import NetworkProfile
from edgesim.devices.origin import Basis, Figure, Text, weakest
from edgesim.devices.population import Population
from edgesim.devices.radio import Radio
from edgesim.devices.straggler import Throttling
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.yaml_source import (
    AtLeastOne,
    Bytes,
    Count,
    FlopsPerSecond,
    NonNegative,
    PositiveSeconds,
    ProperFraction,
    Seconds,
    Watts,
)

FOLDER = "device_profiles"
NETWORKS = "networks"
POPULATIONS = "populations"
SEARCH_PATH = "EDGESIM_PROFILES"

_File = TypeVar("_File", bound=Strict)


class Compute(Strict):
    """The analytic compute model: a visit takes steps x step_overhead + training FLOPs / rate.

    Attributes:
        rate: sustained training rate (2 FLOPs per multiply-add).
        step_overhead: what each optimiser step costs beyond its FLOPs.
        jitter: sigma of the lognormal factor (median 1) of a visit's compute time; off where absent.
    """

    rate: Figure[FlopsPerSecond]
    step_overhead: Figure[Seconds]
    jitter: Figure[NonNegative] | None = None

    @property
    def basis(self) -> Basis:
        """The weaker basis of rate and step overhead."""
        return weakest(self.rate.basis, self.step_overhead.basis)


class Power(Strict):
    """Power of the whole device; absent means unknown.

    Attributes:
        idle: while it waits.
        active: while it trains.
        radio: what transfers draw beyond `idle`, in place of what its network says.
    """

    idle: Figure[Watts] | None = None
    active: Figure[Watts] | None = None
    radio: Radio | None = None


class Thermal(Strict):
    """How the device throttles where it is not cooled; a fleet asks for it by `throttling: profile`.

    Attributes:
        slowdown: how many times longer the same work takes when hot.
        onset: heat at which the slowdown begins, on the scale of `Throttling`.
        heating_time: time constant of getting hot by work.
        cooling_time: time constant of getting cold again.
    """

    slowdown: Figure[AtLeastOne]
    onset: Figure[ProperFraction]
    heating_time: Figure[PositiveSeconds]
    cooling_time: Figure[PositiveSeconds]


Kind = Literal[
    "board", "phone", "accelerator board", "microcontroller", "laptop", "mini PC", "virtual machine"
]


class DeviceProfile(Strict):
    """One kind of device.

    Attributes:
        title: its name for people.
        kind: what sort of device it is.
        compute: how fast it trains.
        measured: training steps that were timed on it; absent where none were.
        cores: of the processor that trains, with its large ones as the low end; absent where it is no CPU
            that could be emulated on another.
        memory: installed memory, with what an operating system leaves of it as the low end.
        power: what it draws.
        thermal: how it slows down by heat; its rate is that of a cool device.
        battery: what it may run on; absent where it has none.
        network: name of the network it is on unless a scenario says otherwise.
    """

    title: Text
    kind: Kind
    compute: Compute
    measured: Measured | None = None
    cores: Figure[Count] | None = None
    memory: Figure[Bytes]
    power: Power = Power()
    thermal: Thermal | None = None
    battery: BatteryProfile | None = None
    network: NetworkName


class Catalogue:
    """Device profiles, populations and networks by name, from the first folder that has the name.

    The folders, in order: `device_profiles/` beside the scenario, the scenario's own folder, each folder of
    `EDGESIM_PROFILES`, `device_profiles/` of the current folder, where `edgesim profile` writes, and the
    profiles that come with edgesim. Networks lie in their folders `networks/`,
    populations in `populations/`.
    Files in the scenario's own folder are found by name but not listed, as scenarios lie there too.

    Args:
        scenario: the scenario file, if there is one.
        environment: the environment variables.

    Raises:
        InputError: `EDGESIM_PROFILES` names a folder that does not exist.
    """

    def __init__(self, scenario: Path | None = None, environment: Mapping[str, str] = os.environ) -> None:
        listed = [*_search_path(environment), Path(FOLDER), shipped.folder(FOLDER)]
        beside: dict[str, Path] = {}
        if scenario is not None:
            listed.insert(0, scenario.parent / FOLDER)
            beside = {name: path for name, path in _files(scenario.parent).items() if path != scenario}
        self._listed = _merged([_files(folder) for folder in listed])
        self._profile_files = _merged([_files(listed[0]), beside, self._listed])
        self._network_files = _merged([_files(folder / NETWORKS) for folder in listed])
        self._population_files = _merged([_files(folder / POPULATIONS) for folder in listed])
        self._profiles: dict[str, DeviceProfile] = {}
        self._populations: dict[str, Population] = {}
        self._networks: dict[str, NetworkProfile] = {}

    def names(self) -> tuple[str, ...]:
        """Names of all device profiles, sorted."""
        return tuple(sorted(self._listed))

    def network_names(self) -> tuple[str, ...]:
        """Names of all networks, sorted."""
        return tuple(sorted(self._network_files))

    def population_names(self) -> tuple[str, ...]:
        """Names of all populations, sorted."""
        return tuple(sorted(self._population_files))

    def load(self, name: str) -> DeviceProfile:
        """The device profile of this name.

        Raises:
            InputError: there is none, or its file is wrong.
        """
        if name not in self._profiles:
            if name in self._population_files and name not in self._profile_files:
                raise InputError(f'"{name}" is a population of devices: write population: {name}')
            if name not in self._profile_files:
                raise _unknown("device profile", name, self.names(), f"{FOLDER}/")
            self._profiles[name] = self._read(self._profile_files[name], DeviceProfile)
        return self._profiles[name]

    def population(self, name: str) -> Population:
        """The population of this name.

        Raises:
            InputError: there is none, or its file is wrong.
        """
        if name not in self._populations:
            if name not in self._population_files:
                raise _unknown("population", name, self.population_names(), f"{FOLDER}/{POPULATIONS}/")
            self._populations[name] = self._read(self._population_files[name], Population)
        return self._populations[name]

    def throttling(self, name: str) -> Throttling:
        """What the device profile of this name says of throttling, without its origin.

        Raises:
            InputError: it says nothing, there is no such profile, or its file is wrong.
        """
        thermal = self.load(name).thermal
        if thermal is None:
            remedy = "write it out: {slowdown: 2.1, onset: 0.8, heating_time: 60 s, cooling_time: 120 s}"
            raise InputError(f"the profile {name} says nothing of it; {remedy}")
        return Throttling.model_construct(
            **{key: getattr(thermal, key).value for key in Throttling.model_fields}
        )

    def network(self, name: str) -> NetworkProfile:
        """The network of this name.

        Raises:
            InputError: there is none, or its file is wrong.
        """
        if name not in self._networks:
            if name not in self._network_files:
                raise _unknown("network", name, self.network_names(), f"{FOLDER}/{NETWORKS}/")
            self._networks[name] = self._read(self._network_files[name], NetworkProfile)
        return self._networks[name]

    def _read(self, path: Path, kind: type[_File]) -> _File:
        return yaml_source.validate(yaml_source.read(path), kind, {"catalogue": self})


def _search_path(environment: Mapping[str, str]) -> list[Path]:
    folders = [Path(part) for part in environment.get(SEARCH_PATH, "").split(os.pathsep) if part]
    missing = [
        f'"{folder}" is no folder; name existing ones, joined by "{os.pathsep}"'
        for folder in folders
        if not folder.is_dir()
    ]
    if missing:
        raise InputError(*(Problem(message, place=SEARCH_PATH) for message in missing))
    return folders


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _merged(indexes: list[dict[str, Path]]) -> dict[str, Path]:
    """Of equal names the first wins."""
    return {name: path for index in reversed(indexes) for name, path in index.items()}


def _unknown(what: str, name: str, known: tuple[str, ...], where: str) -> InputError:
    return InputError(f'no {what} "{name}"{did_you_mean(name, known)} ({where} has {len(known)})')
