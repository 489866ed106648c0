"""Cells, the server's own links and traces as a scenario writes them."""

import json
from pathlib import Path

import jsonschema
import pytest

from edgesim import yaml_source
from edgesim.devices.network import Network
from edgesim.devices.rate_trace import RateTrace
from edgesim.scenario import resolve, schema
from tests.scenarios import changed, document, refusal, scenario

WRITTEN = """\
  - profile: pixel-6
    count: 3
    network:
      downlink: {trace: drives.csv, column: down, unit: Mbit/s, trace_column: drive}
      uplink: {dist: lognormal, median: 2 Mbit/s, sigma: 0.5}
    cell: {devices: 20, downlink: 100 Mbit/s}
server: {uplink: 1 Gbit/s, multicast: true}
"""
NETWORKS = changed("  - {profile: pixel-6, count: 3}\n", WRITTEN)


def test_networks_are_read_and_the_trace_lies_beside_the_scenario() -> None:
    found = scenario(NETWORKS)
    assert (found.server.uplink, found.server.downlink, found.server.multicast) == (1e9, None, True)
    (group,) = found.fleet
    assert group.cell is not None
    assert (group.cell.devices, group.cell.downlink, group.cell.uplink) == (20, 1e8, None)
    assert isinstance(group.network, Network)
    assert isinstance(group.network.downlink, RateTrace)
    assert group.network.downlink.trace == Path(__file__).parents[1] / "drives.csv"


def test_a_resolved_scenario_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    found = scenario(NETWORKS)
    assert resolve(document(found.to_yaml(), tmp_path)).scenario == found


def test_the_schema_knows_them() -> None:
    jsonschema.validate(json.loads(json.dumps(yaml_source.parse(NETWORKS, "x.yaml").data)), schema())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("multicast: true", "multicast: 1", "x.yaml:11: server.multicast: must be true or false, got 1"),
        ("uplink: 1 Gbit/s, ", "", "x.yaml:11: server: multicast sends once over the server's uplink"),
        ("1 Gbit/s", "1", "x.yaml:11: server.uplink: needs a unit, as in 20 Mbit/s; got the bare number 1"),
        (
            "devices: 20",
            "devices: 0",
            "x.yaml:10: fleet[0].cell.devices: must be at least 1, got 0",
        ),
        (
            "unit: Mbit/s",
            "unit: s",
            'x.yaml:8: fleet[0].network.downlink.unit: "1 s" has the wrong dimension',
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(before: str, after: str, message: str) -> None:
    (line,) = refusal(NETWORKS.replace(before, after))
    assert line.startswith(message)
