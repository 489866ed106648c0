"""Joules of visits: the radio's line over the rate, its override, and what is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.devices.cost import CostModel
from edgesim.devices.energy import stage_j
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.learner import Part, Workload
from edgesim.rng import Streams
from tests.devices.conftest import CABLE, PLAIN

FIGURE = "{{value: {0}, low: {0}, high: {0}, basis: measured, source: a test}}"


def radio(down_w: str, down: str, up_w: str, up: str) -> str:
    """YAML of a radio, to stand below some key."""
    lines = []
    for way, watts, per_bit in (("downlink", down_w, down), ("uplink", up_w, up)):
        lines += [f"  {way}:", f"    base: {FIGURE.format(watts)}", f"    per_bit: {FIGURE.format(per_bit)}"]
    return "\n".join(lines) + "\n"


def catalogue_of(folder: Path, profile: str = PLAIN, network: str = CABLE) -> Catalogue:
    """With a profile `plain` on a network `cable`."""
    (folder / "networks").mkdir()
    (folder / "plain.yaml").write_text(profile)
    (folder / "networks" / "cable.yaml").write_text(network)
    return Catalogue(environment={"EDGESIM_PROFILES": str(folder)})


def fleet_of(catalogue: Catalogue, **written: Any) -> Fleet:
    group = FleetGroup.model_validate_json(json.dumps({"profile": "plain", "count": 1, **written}))
    return Fleet.draw([group], catalogue, Streams(1))


ONE = np.array([0])
IDLE = PLAIN.replace("power:\n", f"power:\n  idle: {FIGURE.format('2 W')}\n")
RADIO = CABLE + "radio:\n" + radio("0.5 W", "10 nJ/bit", "0.6 W", "80 nJ/bit")


def test_a_visit_worked_by_hand(tmp_path: Path) -> None:
    """1 MB down at 80 Mbit/s and 0.1 MB up at 8, each 0.1 s after 25 ms; 2 GFLOP at 2 GFLOP/s."""
    model = CostModel(fleet_of(catalogue_of(tmp_path, IDLE, RADIO)), Streams(1))
    workload = Workload("s", 10**9, 10**9, (), (Part("a", 10**6),), 10**5, 1, 1, 0, "full", 1.0)
    phases = model.expected(workload, ONE)
    assert phases.energy_download_j == pytest.approx([2.5 * 0.125 + 8e6 * 10e-9])
    assert phases.energy_compute_j == pytest.approx([5.0])
    assert phases.energy_upload_j == pytest.approx([2.6 * 0.125 + 8e5 * 80e-9])


def download_j(fleet: Fleet, seconds: float, bits: float) -> float:
    return float(
        stage_j(fleet.idle_w[0] + fleet.radio_down_w[0], fleet.radio_down_j_per_bit[0], seconds, bits)
    )


def upload_j(fleet: Fleet, seconds: float, bits: float) -> float:
    return float(stage_j(fleet.idle_w[0] + fleet.radio_up_w[0], fleet.radio_up_j_per_bit[0], seconds, bits))


def test_the_measured_line_of_lte_gives_the_measured_joules_per_megabyte() -> None:
    """Narayanan et al. 2021: 0.29 J/MB down and 0.84 J/MB up at 20 Mbit/s, beyond the idle phone."""
    group = FleetGroup.model_validate_json('{"profile": "pixel-6", "count": 1, "network": "lte"}')
    fleet = Fleet.draw([group], Catalogue(environment={}), Streams(1))
    idle_j = fleet.idle_w[0] * 0.4
    assert download_j(fleet, 0.4, 8e6) - idle_j == pytest.approx(0.2877, rel=0.01)
    assert upload_j(fleet, 0.4, 8e6) - idle_j == pytest.approx(0.8438, rel=0.01)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(1e3, 1e9)), min_size=1, max_size=6))
def test_joules_are_those_of_the_line_whatever_rates_a_transfer_went_through(
    pieces: list[tuple[float, float]],
) -> None:
    group = FleetGroup.model_validate_json('{"profile": "pixel-6", "count": 1, "network": "5g"}')
    fleet = Fleet.draw([group], Catalogue(environment={}), Streams(1))
    seconds, rates_bps = np.array(pieces).T
    base_w = fleet.idle_w[0] + fleet.radio_up_w[0]
    piecewise_j = ((base_w + fleet.radio_up_j_per_bit[0] * rates_bps) * seconds).sum()
    whole_j = upload_j(fleet, seconds.sum(), (seconds * rates_bps).sum())
    assert whole_j == pytest.approx(piecewise_j)


def test_a_radio_of_the_profile_comes_before_that_of_its_network(tmp_path: Path) -> None:
    own = radio("0.1 W", "1 nJ/bit", "0.2 W", "2 nJ/bit").replace("\n  ", "\n    ")
    profile = IDLE.replace("power:\n", f"power:\n  radio:\n  {own.rstrip()}\n")
    fleet = fleet_of(catalogue_of(tmp_path, profile, RADIO))
    assert (fleet.radio_down_w.tolist(), fleet.radio_up_w.tolist()) == ([0.1], [0.2])
    assert fleet.radio_down_j_per_bit.tolist() == pytest.approx([1e-9])
    assert fleet.radio_up_j_per_bit.tolist() == pytest.approx([2e-9])


@pytest.mark.parametrize("network", ["cable", {"uplink": "1 Mbit/s", "downlink": "1 Mbit/s"}])
def test_a_network_without_a_radio_leaves_transfers_unknown_and_not_free(
    tmp_path: Path, network: Any
) -> None:
    fleet = fleet_of(catalogue_of(tmp_path, IDLE), network=network)
    assert np.isnan(download_j(fleet, 1.0, 1.0))
    assert np.isnan(upload_j(fleet, 1.0, 1.0))


def test_unknown_idle_power_leaves_transfers_unknown(tmp_path: Path) -> None:
    assert np.isnan(download_j(fleet_of(catalogue_of(tmp_path, PLAIN, RADIO)), 1.0, 1.0))


def test_a_slope_in_other_units_is_refused_with_its_line(tmp_path: Path) -> None:
    wrong = catalogue_of(tmp_path, IDLE, RADIO.replace("value: 10 nJ/bit", "value: 10 mW"))
    with pytest.raises(InputError, match=r'cable.yaml:13: .*per_bit.value: "10 mW" has the wrong dimension'):
        wrong.network("cable")
