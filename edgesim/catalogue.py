"""What a scenario can name, kind by kind, each with a line of what it is and the papers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgesim import registry
from edgesim.aggregation._server_optimizer import ServerOptimizer
from edgesim.aggregation._staleness import Staleness
from edgesim.datasets._partition import Partition
from edgesim.devices.availability import Availability
from edgesim.devices.faults import Fault
from edgesim.devices.network import NetworkProfile
from edgesim.devices.origin import weakest
from edgesim.devices.population import AnyFigure, Population
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.document import open_document, shipped_names
from edgesim.errors import InputError, did_you_mean
from edgesim.sections import Schedule

ROOMS = {
    "models": "model",
    "datasets": "dataset",
    "submodels": "submodel",
    "growth": "growth",
    "selection": "selection",
    "coordination": "coordination",
    "aggregation": "aggregation",
}
"""Extension rooms, and the key of a scenario that chooses from each."""

WITHIN: dict[str, Any] = {
    "partitions": Partition,
    "availability": Availability,
    "faults": Fault,
    "schedules": Schedule,
    "staleness": Staleness,
    "server_optimizers": ServerOptimizer,
}
"""What is chosen within other keys, by the type of the field."""

FILES = ("scenarios", "devices", "populations", "networks")

KINDS = (*FILES, *ROOMS, *WITHIN, "loggers")


def listed(what: str | None) -> dict[str, dict[str, Any]]:
    """Names and what they are, by kind; one kind or all. With devices come populations of devices.

    A device, a population or a network is a mapping of its numbers, in the units of their names, and how they
    are known; a number that is not known is None, and one that differs between devices its median. Anything
    else says what it is `about`, and a component which `papers` are behind it.

    Raises:
        InputError: there is no such kind, or the file of a device, a population or a network is wrong.
    """
    if what is not None and what not in KINDS:
        raise InputError(
            f'nothing called "{what}" to list{did_you_mean(what, KINDS)} (known: {", ".join(KINDS)})'
        )
    wanted = {None: KINDS, "devices": ("devices", "populations")}.get(what, (what,))
    return {kind: _entries(kind) for kind in KINDS if kind in wanted}


def _entries(kind: str) -> dict[str, Any]:
    profiles = Catalogue()
    if kind == "scenarios":
        return {name: {"about": open_document(name).source.question} for name in shipped_names()}
    if kind == "devices":
        return {name: _device(profiles.load(name)) for name in profiles.names()}
    if kind == "populations":
        return {name: _device(profiles.population(name)) for name in profiles.population_names()}
    if kind == "networks":
        return {name: _network(profiles.network(name)) for name in profiles.network_names()}
    if kind in WITHIN:
        return _described(registry.choices_of(WITHIN[kind]))
    return _described({name: registry.builtin(kind, name) for name in registry.names(kind)})


def _described(components: Mapping[str, type[Any]]) -> dict[str, Any]:
    return {
        name: {
            "about": _headline(component),
            "papers": [asdict(paper) for paper in getattr(component, "papers", ())],
        }
        for name, component in components.items()
    }


def _device(profile: DeviceProfile | Population) -> dict[str, Any]:
    """A device; `basis` is that of its analytic seconds, `bases` those of the single numbers."""
    figures: dict[str, AnyFigure | None] = {
        "rate_flops": profile.compute.rate,
        "step_overhead_s": profile.compute.step_overhead,
        "memory_bytes": profile.memory,
        "idle_w": profile.power.idle,
        "active_w": profile.power.active,
    }
    return {
        "title": profile.title,
        "kind": profile.kind,
        **{name: figure and figure.median for name, figure in figures.items()},
        "network": profile.network,
        "basis": profile.compute.basis,
        "timed_steps": _timed(profile),
        "bases": {name: figure.basis for name, figure in figures.items() if figure},
    }


def _timed(profile: DeviceProfile | Population) -> int:
    """How many kinds of training steps were timed on such a device."""
    measured = profile.measured if isinstance(profile, DeviceProfile) else None
    return 0 if measured is None else len(measured.table)


def _network(profile: NetworkProfile) -> dict[str, Any]:
    """A network; its rates and its latency are medians over devices, `basis` is the weakest of them."""
    origin = profile.origin
    return {
        "title": profile.title,
        "downlink_bps": profile.downlink.quantile(0.5).item(),
        "uplink_bps": profile.uplink.quantile(0.5).item(),
        "latency_s": profile.latency.quantile(0.5).item(),
        "jitter": profile.jitter,
        "basis": weakest(origin.downlink.basis, origin.uplink.basis, origin.latency.basis),
        "bases": {
            "downlink_bps": origin.downlink.basis,
            "uplink_bps": origin.uplink.basis,
            "latency_s": origin.latency.basis,
            "jitter": origin.jitter.basis,
        },
    }


def _headline(component: type[Any]) -> str:
    return (component.__doc__ or "").strip().splitlines()[0]
