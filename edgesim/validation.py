"""What edgesim accepts: checking files, their JSON Schemas, and what a scenario can name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgesim import registry, yaml_source
from edgesim.devices.network import NetworkProfile
from edgesim.devices.origin import weakest
from edgesim.devices.population import AnyFigure, Population
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.document import open_document, shipped_names
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.scenario import Experiment, resolve_all, schema
from edgesim.seconds import world_of

ROOMS = {
    "models": "model",
    "datasets": "dataset",
    "submodels": "submodel",
    "growth": "growth",
    "selection": "selection",
    "coordination": "coordination",
    "aggregation": "aggregation",
}


def check(name: str, overrides: list[str]) -> str:
    """Check one file; what kind of file it is and that it is right.

    Raises:
        InputError: with every problem of the file.
    """
    document = open_document(name)
    data = document.source.data
    keys = set(data) if isinstance(data, dict) else set()
    context = {"catalogue": Catalogue(document.path)}
    if "correlations" in keys and "fleet" not in keys:
        yaml_source.validate(document.source, Population, context)
        return "a valid population"
    if {"compute", "memory"} & keys and "fleet" not in keys:
        yaml_source.validate(document.source, DeviceProfile, context)
        return "a valid device profile"
    if {"downlink", "uplink"} & keys and "fleet" not in keys:
        yaml_source.validate(document.source, NetworkProfile, context)
        return "a valid network"
    experiments = resolve_all(document, overrides)
    _draw_one_of_each(experiments)
    variants = len(document.variants)
    devices = sum(group.count for group in experiments[0].scenario.fleet)
    return f"a valid scenario of {devices} devices" + (f" with {variants} variants" if variants else "")


def _draw_one_of_each(experiments: Sequence[Experiment]) -> None:
    """Draw one device of each fleet entry, so that every file that the fleets name is read.

    Raises:
        InputError: with the problems of all of them, each once.
    """
    problems: dict[Problem, None] = {}
    for experiment in experiments:
        scenario = experiment.scenario
        fleet = [group.model_copy(update={"count": 1}) for group in scenario.fleet]
        try:
            world_of(scenario.model_copy(update={"fleet": fleet}), experiment.catalogue)
        except InputError as error:
            problems |= dict.fromkeys(experiment.placed(error).problems)
    if problems:
        raise InputError(*problems)


def json_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of one kind of file.

    Raises:
        InputError: there is no such kind.
    """
    if kind == "scenario":
        return schema()
    kinds: dict[str, Any] = {
        "profile": DeviceProfile,
        "population": Population,
        "network": NetworkProfile,
    }
    if kind not in kinds:
        known = ("scenario", *kinds)
        raise InputError(f'no schema "{kind}"{did_you_mean(kind, known)} (known: {", ".join(known)})')
    header = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return header | TypeAdapter(kinds[kind]).json_schema()


def catalogue(what: str | None) -> dict[str, dict[str, Any]]:
    """Names and what they are, by kind; one kind or all. With devices come populations of devices.

    A device, a population or a network is a mapping of its numbers, in the units of their names, and how they
    are known; a number that is not known is None, and one that differs between devices its median. Anything
    else is one line of text.

    Raises:
        InputError: there is no such kind, or the file of a device, a population or a network is wrong.
    """
    known = ("scenarios", "devices", "populations", "networks", *ROOMS)
    if what is not None and what not in known:
        raise InputError(
            f'nothing called "{what}" to list{did_you_mean(what, known)} (known: {", ".join(known)})'
        )
    wanted = {None: known, "devices": ("devices", "populations")}.get(what, (what,))
    return {kind: _listed(kind) for kind in known if kind in wanted}


def _listed(kind: str) -> dict[str, Any]:
    profiles = Catalogue()
    if kind == "scenarios":
        return {name: _question(open_document(name).path) for name in shipped_names()}
    if kind == "devices":
        return {name: _device(profiles.load(name)) for name in profiles.names()}
    if kind == "populations":
        return {name: _device(profiles.population(name)) for name in profiles.population_names()}
    if kind == "networks":
        return {name: _network(profiles.network(name)) for name in profiles.network_names()}
    return {name: _headline(registry.builtin(kind, name)) for name in registry.names(kind)}


def _device(profile: DeviceProfile | Population) -> dict[str, Any]:
    """A device; `basis` is that of its compute seconds, `bases` those of the single numbers."""
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
        "bases": {name: figure.basis for name, figure in figures.items() if figure},
    }


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


def _question(path: Path) -> str:
    """The first line of a scenario asks its question."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def _headline(component: type[Any]) -> str:
    return (component.__doc__ or "").strip().splitlines()[0]
