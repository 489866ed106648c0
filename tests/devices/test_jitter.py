"""Jitter: the factors of a visit are the same, whoever else is drawn and however many at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.jitter import Jitter
from edgesim.devices.profile import Catalogue
from edgesim.rng import Streams

SHAKY = {
    "network": {"uplink": "1 Mbit/s", "downlink": "4 Mbit/s", "jitter": 0.3},
    "compute": {"rate": "1 GFLOP/s", "jitter": 0.2},
}


def jitter(catalogue: Catalogue, *groups: dict[str, Any]) -> Jitter:
    written = [{"profile": "plain", **group} for group in groups]
    made = [FleetGroup.model_validate_json(json.dumps(group)) for group in written]
    return Jitter(Fleet.draw(made, catalogue, Streams(3)), Streams(3))


def test_a_visit_by_itself_has_the_factors_that_it_has_among_all(catalogue: Catalogue) -> None:
    drawn = jitter(catalogue, {"count": 1400, **SHAKY}, {"count": 100})
    for visit in [*range(70), 0]:
        devices = np.arange(0, 1500, 37)
        columns = drawn.of_all(devices, np.full(len(devices), visit))
        alone = [drawn.of(device, visit) for device in devices.tolist()]
        np.testing.assert_array_equal(np.array(alone).T, columns)


def test_nobody_jitters_where_no_profile_says_so(catalogue: Catalogue) -> None:
    drawn = jitter(catalogue, {"count": 40, "compute": {"rate": "1 GFLOP/s"}})
    assert {drawn.of(device, 0) for device in range(40)} == {(1.0, 1.0, 1.0)}
