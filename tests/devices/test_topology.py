import json
from typing import Any

import pytest

from edgesim import yaml_source
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.network import ServerLinks
from edgesim.devices.topology import Topology
from edgesim.errors import InputError


def topology(*groups: dict[str, Any], **server: Any) -> Topology:
    made = [FleetGroup.model_validate_json(json.dumps({"profile": "any", **group})) for group in groups]
    return Topology.of(made, ServerLinks.model_validate_json(json.dumps(server)))


def links(found: Topology) -> list[tuple[str, float]]:
    return [(found.name(link), bps) for link, bps in enumerate(found.capacities_bps.tolist())]


CELL = {"devices": 2, "downlink": "20 Mbit/s", "uplink": "5 Mbit/s"}


def test_without_limits_nothing_is_shared() -> None:
    found = topology({"count": 3})
    assert links(found) == []
    assert found.route("down", 2) == ()
    assert found.route("up", 0) == ()
    assert found.multicast_link is None


def test_the_servers_uplink_carries_the_downloads() -> None:
    found = topology({"count": 3}, uplink="1 Gbit/s")
    assert links(found) == [("server uplink", 1e9)]
    assert [found.route("down", device) for device in range(3)] == [(0,)] * 3
    assert found.route("up", 1) == ()


def test_with_multicast_the_downloads_of_a_batch_cross_it_as_one() -> None:
    found = topology({"count": 3}, uplink="1 Gbit/s", downlink="1 Gbit/s", multicast=True)
    assert found.multicast_link == 0
    assert (found.route("down", 1), found.route("up", 1)) == ((), (1,))


def test_cells_take_the_devices_of_their_entry_in_order() -> None:
    found = topology(
        {"count": 1},
        {"count": 3, "cell": CELL},
        {"count": 2, "cell": {"devices": 5, "uplink": "1 Mbit/s"}},
        downlink="100 Mbit/s",
    )
    assert links(found) == [
        ("server downlink", 1e8),
        ("cell 0 downlink", 2e7),
        ("cell 1 downlink", 2e7),
        ("cell 0 uplink", 5e6),
        ("cell 1 uplink", 5e6),
        ("cell 2 uplink", 1e6),
    ]
    assert [found.route("down", device) for device in range(6)] == [(), (1,), (1,), (2,), (), ()]
    assert [found.route("up", device) for device in range(6)] == [
        (0,),
        (0, 3),
        (0, 3),
        (0, 4),
        (0, 5),
        (0, 5),
    ]


def test_a_million_devices_in_cells_are_two_links_per_cell_and_nothing_per_device() -> None:
    found = topology({"count": 1_000_000, "cell": {**CELL, "devices": 20}}, uplink="10 Gbit/s")
    assert len(found.capacities_bps) == 1 + 2 * 50_000
    assert found.route("down", 999_999) == (0, 50_000)
    assert found.route("up", 999_999) == (100_000,)
    assert found.name(100_000) == "cell 49999 uplink"
    assert not found.capacities_bps.flags.writeable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell: {devices: 20}", "cell: needs a downlink or an uplink: without either it limits nothing"),
        ("cell: {uplink: 1 Mbit/s}", "cell.devices: is missing, and it is required"),
        ("cell: {devices: 0, uplink: 1 Mbit/s}", "cell.devices: must be at least 1, got 0"),
        (
            "cell: {devices: 2, uplink: 0 Mbit/s}",
            'cell.uplink: must be finite and more than zero, got "0 Mbit/s"',
        ),
        ("cell: {devices: 2, up-link: 1 Mbit/s}", 'cell.up-link: unknown key; did you mean "uplink"?'),
    ],
)
def test_a_wrong_cell_is_refused_with_its_place(text: str, message: str) -> None:
    source = yaml_source.parse(f"profile: any\ncount: 3\n{text}\n", "s.yaml")
    with pytest.raises(InputError, match="cell") as caught:
        yaml_source.validate(source, FleetGroup)
    assert str(caught.value).startswith(f"s.yaml:3: {message}")
