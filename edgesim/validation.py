"""What edgesim accepts: checking files, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from edgesim import yaml_source
from edgesim.devices.network import NetworkProfile
from edgesim.devices.population import Population
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.document import open_document
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.scenario import Experiment, resolve_all, schema
from edgesim.seconds import world_of

_BESIDE_SCENARIOS: dict[str, Any] = {
    "profile": DeviceProfile,
    "population": Population,
    "network": NetworkProfile,
}
SCHEMAS = ("scenario", *_BESIDE_SCENARIOS)
"""Kinds of files that have a JSON Schema."""


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
    if kind not in _BESIDE_SCENARIOS:
        raise InputError(f'no schema "{kind}"{did_you_mean(kind, SCHEMAS)} (known: {", ".join(SCHEMAS)})')
    header = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return header | TypeAdapter(_BESIDE_SCENARIOS[kind]).json_schema()
