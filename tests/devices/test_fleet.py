import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from edgesim import yaml_source
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.rng import Streams

COLUMNS = 17


def _group(catalogue: Catalogue, **written: Any) -> FleetGroup:
    given = {"profile": "plain", "count": 1, **written}
    return TypeAdapter(FleetGroup).validate_json(json.dumps(given), context={"catalogue": catalogue})


def _draw(catalogue: Catalogue, *groups: dict[str, Any], seed: int = 1) -> Fleet:
    return Fleet.draw([_group(catalogue, **written) for written in groups], catalogue, Streams(seed))


def test_devices_come_group_by_group(catalogue: Catalogue) -> None:
    fleet = _draw(catalogue, {"count": 2, "capacity": 0.5}, {"profile": "raspberry-pi-4", "network": "cable"})
    assert len(fleet) == 3
    assert [fleet.profile_of(device) for device in range(3)] == ["plain", "plain", "raspberry-pi-4"]
    assert fleet.group.tolist() == [0, 0, 1]
    assert fleet.rate_flops.tolist() == [2e9, 2e9, 6.4e9]
    assert fleet.downlink_bps.tolist() == [80e6] * 3
    assert fleet.uplink_bps.tolist() == [8e6] * 3
    assert fleet.latency_s.tolist() == [0.025] * 3
    assert fleet.compute_jitter.tolist() == [0.3, 0.3, 0.0]
    assert fleet.memory_bytes.tolist() == [1e9, 1e9, 4e9]
    np.testing.assert_array_equal(fleet.idle_w, [np.nan, np.nan, 1.6])
    np.testing.assert_array_equal(fleet.capacity, [0.5, 0.5, np.nan])


OVERRIDES = [
    (None, 2e9, 0.01, 0.3, "estimated"),
    ({"rate": "4 GFLOP/s"}, 4e9, 0.0, 0.0, "override"),
    ({"rate": "4 GFLOP/s", "step_overhead": "3 ms", "jitter": 0.2}, 4e9, 0.003, 0.2, "override"),
    ({"seconds_per_step": "0.5 s"}, np.inf, 0.5, 0.0, "override"),
    ({"scale": 0.125}, 0.25e9, 0.08, 0.0, "override"),
]


@pytest.mark.parametrize(("compute", "rate_flops", "step_overhead_s", "jitter", "basis"), OVERRIDES)
def test_compute_of_a_group_replaces_or_scales_the_profiles(
    catalogue: Catalogue,
    compute: dict[str, Any] | None,
    rate_flops: float,
    step_overhead_s: float,
    jitter: float,
    basis: str,
) -> None:
    fleet = _draw(catalogue, {"compute": compute})
    assert fleet.rate_flops.tolist() == [rate_flops]
    assert fleet.step_overhead_s.tolist() == [step_overhead_s]
    assert fleet.compute_jitter.tolist() == [jitter]
    assert fleet.bases == (basis,)


def test_links_of_a_group_have_no_latency_or_jitter_unless_given(catalogue: Catalogue) -> None:
    fleet = _draw(catalogue, {"network": {"uplink": "1 Mbit/s", "downlink": "2 Mbit/s"}})
    columns = (fleet.uplink_bps, fleet.downlink_bps, fleet.latency_s, fleet.network_jitter)
    assert [column.item() for column in columns] == [1e6, 2e6, 0, 0]


def test_a_rate_is_drawn_once_per_device_and_by_its_own_stream(catalogue: Catalogue) -> None:
    slow, fast = ({"dist": "lognormal", "median": rate, "sigma": 0.5} for rate in ("1 Mbit/s", "2 Mbit/s"))
    one = _draw(catalogue, {"count": 2000, "network": {"uplink": slow, "downlink": slow}})
    other = _draw(catalogue, {"count": 2000, "network": {"uplink": slow, "downlink": fast}})
    assert np.std(np.log(one.uplink_bps)) == pytest.approx(0.5, rel=0.1)
    assert np.median(one.uplink_bps) == pytest.approx(1e6, rel=0.1)
    np.testing.assert_array_equal(one.uplink_bps, other.uplink_bps)
    assert abs(np.corrcoef(np.log(one.uplink_bps), np.log(one.downlink_bps))[0, 1]) < 0.1


def test_a_later_group_leaves_earlier_draws_as_they_were(catalogue: Catalogue) -> None:
    lte = {"count": 5, "network": "lte"}
    alone, joined = _draw(catalogue, lte), _draw(catalogue, lte, lte)
    np.testing.assert_array_equal(alone.latency_s, joined.latency_s[:5])
    assert len(np.unique(joined.latency_s)) == 10


def test_a_million_devices_take_eight_bytes_per_column(catalogue: Catalogue) -> None:
    fleet = _draw(catalogue, {"count": 600_000, "network": "lte"}, {"count": 400_000, "profile": "pixel-6"})
    held = [getattr(fleet, name) for name in Fleet.__slots__]
    columns = [column for column in held if isinstance(column, np.ndarray)]
    assert len(columns) == COLUMNS
    assert {len(column) for column in columns} == {1_000_000}
    assert sum(column.nbytes for column in columns) <= 8e6 * COLUMNS
    assert not any(column.flags.writeable for column in columns)
    assert np.isfinite(fleet.uplink_bps).all()
    assert (fleet.uplink_bps > 0).all()


GROUPS: list[dict[str, Any]] = [
    {},
    {"network": "lte", "capacity": 0.25},
    {"network": {"uplink": {"dist": "gamma", "shape": 2, "scale": "3 Mbit/s"}, "downlink": "8 Mbit/s"}},
    {"compute": {"rate": "5 GFLOP/s", "step_overhead": "1 ms"}},
    {"compute": {"scale": 0.3, "jitter": 0.1}},
    {"straggler": {"probability": 0.1, "slowdown": {"dist": "lognormal", "sigma": 0.5}}},
]


@pytest.mark.parametrize("written", GROUPS)
def test_group_written_and_read_again_is_the_same(catalogue: Catalogue, written: dict[str, Any]) -> None:
    group = _group(catalogue, **written)
    assert FleetGroup.model_validate_json(json.dumps(group.model_dump(mode="json"))) == group


WRONG = [
    ("profile: pixel6", 'profile: no device profile "pixel6"; did you mean "pixel-6"? (device_profiles/'),
    ("network: wify", 'network: no network "wify"; did you mean "wifi"? (device_profiles/networks/ has 7)'),
    ("network: {uplink: 3 Mbit/s}", "network.downlink: is missing, and it is required"),
    ("network: {uplnk: 3 Mbit/s}", 'network.uplnk: unknown key; did you mean "uplink"?'),
    ("network: 7", "network: must be text, got 7"),
    (
        "network: {uplink: 3 GFLOP/s, downlink: 3 Mbit/s}",
        'network.uplink: "3 GFLOP/s" has the wrong dimension',
    ),
    ("count: 0", "count: must be at least 1, got 0"),
    ("count: 2.5", "count: must be "),
    ("capacity: 0", "capacity: must be greater than 0, got 0"),
    ("compute: {}", "compute: needs exactly one of rate, seconds_per_step, scale; got none"),
    (
        "compute: {rate: 1 GFLOP/s, scale: 2}",
        "compute: needs exactly one of rate, seconds_per_step, scale; got rate, s",
    ),
    (
        "compute: {scale: 2, step_overhead: 1 s}",
        "compute: step_overhead goes with rate only, and here scale is given",
    ),
    (
        "straggler: {probability: 2, slowdown: 3}",
        "straggler.probability: must be at most 1, got 2",
    ),
    (
        "straggler: {probability: 0, slowdown: {dist: normal, mean: 1, std: 1}}",
        "straggler.slowdown: must always be more than zero, but {dist: normal, mean: 1.0, std: 1.0} can be",
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_wrong_group_is_reported_with_its_line(catalogue: Catalogue, line: str, message: str) -> None:
    right = {"profile": "profile: plain", "count": "count: 1"}
    key = line.partition(":")[0]
    text = "\n".join([*(value for name, value in right.items() if name != key), line])
    place = f"x.yaml:{2 if key in right else 3}: "
    with pytest.raises(InputError) as caught:
        yaml_source.validate(yaml_source.parse(text, "x.yaml"), FleetGroup, {"catalogue": catalogue})
    assert place + message in str(caught.value)


def test_a_broken_profile_is_reported_at_the_group_that_names_it(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    (tmp_path / "device_profiles" / "plain.yaml").write_text("title: 7\n")
    text = "profile: plain\ncount: 1\n"
    with pytest.raises(InputError) as caught:
        yaml_source.validate(yaml_source.parse(text, "x.yaml"), FleetGroup, {"catalogue": catalogue})
    assert str(caught.value).startswith("x.yaml:1: profile: ")
    assert "plain.yaml:1: title: must be text, got 7; " in str(caught.value)
