"""Batteries: levels after work and waiting, when the reserve is hit, when a device is ready again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edgesim.devices.battery import Batteries
from edgesim.devices.battery_source import BatteryUse
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
ONE = np.array([0])


def battery(
    *, capacity_j: float = 1000.0, reserve_j: float = 200.0, charger_w: float = 0.0, idle_w: float = 1.0
) -> Batteries:
    return Batteries(*(np.array([value]) for value in (capacity_j, reserve_j, capacity_j, charger_w, idle_w)))


def draw(*groups: dict[str, Any], seed: int = 1) -> Batteries | None:
    written = [{"profile": "pixel-6", "count": 1, "network": "lte", **group} for group in groups]
    made = [FleetGroup.model_validate_json(json.dumps(group)) for group in written]
    fleet = Fleet.draw(made, SHIPPED, Streams(seed))
    return Batteries.draw(made, SHIPPED, fleet, Streams(seed))


def drawn(*groups: dict[str, Any], seed: int = 1) -> Batteries:
    batteries = draw(*groups, seed=seed)
    assert batteries is not None
    return batteries


def level(value: float) -> np.ndarray:
    return np.array([value])


def test_work_takes_what_it_spends_and_the_charger_gives_meanwhile() -> None:
    assert battery().after_j(ONE, level(500.0), 100.0, 20.0).tolist() == [400.0]
    assert battery(charger_w=2.0).after_j(ONE, level(500.0), 100.0, 20.0).tolist() == [440.0]


def test_waiting_drains_at_idle_power() -> None:
    assert battery().idle_j(ONE, level(500.0), 60.0).tolist() == [440.0]
    assert battery(charger_w=3.0).idle_j(ONE, level(500.0), 60.0).tolist() == [620.0]


def test_a_level_is_never_below_empty_nor_above_full() -> None:
    assert battery().idle_j(ONE, level(10.0), 60.0).tolist() == [0.0]
    assert battery(charger_w=100.0).idle_j(ONE, level(500.0), 60.0).tolist() == [1000.0]


def test_the_reserve_is_hit_when_what_lies_above_it_is_spent() -> None:
    assert battery().reserve_hit_s(ONE, level(500.0), 6.0).tolist() == [50.0]
    assert battery(charger_w=2.0).reserve_hit_s(ONE, level(500.0), 6.0).tolist() == [75.0]
    assert battery(charger_w=6.0).reserve_hit_s(ONE, level(500.0), 6.0).tolist() == [np.inf]
    assert battery().reserve_hit_s(ONE, level(150.0), 6.0).tolist() == [0.0]


def test_a_device_is_ready_a_margin_above_its_reserve() -> None:
    """The margin is a hundredth of 1000 J: ready from 210 J on, 10 s of charging at 1 W net above 200 J."""
    charging = battery(charger_w=2.0)
    assert [bool(charging.is_ready(ONE, level(joules))[0]) for joules in (200.0, 209.0, 210.0)] == [
        False,
        False,
        True,
    ]
    assert charging.ready_s(ONE, level(200.0), 7.0).tolist() == [17.0]
    assert charging.ready_s(ONE, level(210.0), 7.0).tolist() == [7.0]


@pytest.mark.parametrize("charger_w", [0.0, 1.0])
def test_who_charges_no_faster_than_it_drains_is_never_ready_again(charger_w: float) -> None:
    assert battery(charger_w=charger_w).ready_s(ONE, level(100.0), 7.0).tolist() == [np.inf]


@given(
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.floats(0.1, 100),
    st.floats(1.01, 100),
)
def test_who_has_waited_until_it_is_ready_is_found_ready(
    reserve: float, share: float, idle_w: float, gain: float
) -> None:
    made = battery(capacity_j=54_000.0, reserve_j=reserve * 54_000, charger_w=gain * idle_w, idle_w=idle_w)
    at_s = made.ready_s(ONE, level(share * 54_000), 0.0)
    assert made.is_ready(ONE, made.idle_j(ONE, level(share * 54_000), at_s)).all()


@given(st.floats(0, 1000), st.floats(0.1, 50), st.floats(0, 20))
def test_working_until_the_reserve_is_hit_leaves_the_reserve(
    level_j: float, power_w: float, charger_w: float
) -> None:
    made = battery(charger_w=charger_w)
    hit_s = made.reserve_hit_s(ONE, level(level_j), power_w)
    if np.isfinite(hit_s[0]):
        left_j = made.after_j(ONE, level(level_j), power_w * hit_s, hit_s)
        assert left_j == pytest.approx([min(level_j, 200.0)], abs=1e-6)


def test_a_phone_brings_its_capacity_and_a_fleet_entry_may_give_another() -> None:
    made = drawn({"battery": {}}, {"battery": {"capacity": "10 Wh", "reserve": 0.5, "charger": "5 W"}})
    assert made.capacity_j.tolist() == pytest.approx([17.8 * 3600, 36_000.0])
    assert made.reserve_j.tolist() == pytest.approx([0.2 * 17.8 * 3600, 18_000.0])
    assert made.initial_j.tolist() == made.capacity_j.tolist()
    assert made.charger_w.tolist() == [0.0, 5.0]
    assert made.idle_w.tolist() == [0.05, 0.05]


def test_a_device_on_mains_never_runs_out_even_where_its_power_is_unknown() -> None:
    made = drawn({"battery": {}}, {"profile": "renesas-ek-ra8d1", "network": "broadband"})
    mains = np.array([1])
    after_j = made.after_j(mains, made.initial_j[mains], np.nan, 1e6)
    assert after_j.tolist() == [np.inf]
    assert made.idle_j(mains, after_j, 1e9).tolist() == [np.inf]
    assert made.reserve_hit_s(mains, after_j, 1e9).tolist() == [np.inf]
    assert made.is_ready(mains, after_j).all()
    assert made.ready_s(mains, after_j, 3.0).tolist() == [3.0]


def test_a_fleet_that_asks_for_no_battery_has_none() -> None:
    assert draw({}, {"profile": "raspberry-pi-4"}) is None


def test_levels_are_drawn_per_device_and_do_not_depend_on_other_entries() -> None:
    entry = {"count": 3, "battery": {"level": {"dist": "uniform", "low": 0.3, "high": 1.0}}}
    alone, together = drawn(entry), drawn(entry, {"count": 2, "battery": {}})
    assert together.initial_j[:3].tolist() == alone.initial_j.tolist()
    assert len(set(alone.initial_j.tolist())) == 3
    assert (alone.initial_j >= 0.3 * alone.capacity_j).all()


def test_a_battery_without_capacity_or_power_is_refused_and_says_what_is_missing() -> None:
    with pytest.raises(InputError) as caught:
        draw({"battery": {}}, {"profile": "renesas-ek-ra8d1", "network": "broadband", "battery": {}})
    capacity, power = str(caught.value).splitlines()
    assert capacity == "fleet[1].battery: renesas-ek-ra8d1 says no capacity; add capacity: 15 Wh"
    assert power.startswith("fleet[1].battery: needs the power of renesas-ek-ra8d1, which lacks ")
    assert "radio_down_w" in power


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"level": 1.5}, "must never be above 1, but can be 1.5"),
        ({"level": {"dist": "lognormal", "sigma": 0.5}}, "must never be above 1, but can be "),
        ({"reserve": 0.95}, "less than or equal to 0.9"),
        ({"charger": "5 Wh"}, '"5 Wh" has the wrong dimension'),
    ],
)
def test_a_battery_that_cannot_be_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(BatteryUse).validate_json(json.dumps(written))


def test_a_fleet_entry_written_and_read_again_is_the_same() -> None:
    use = BatteryUse.model_validate_json('{"level": 0.5, "charger": "5 W", "capacity": "15 Wh"}')
    assert BatteryUse.model_validate_json(use.model_dump_json(exclude_none=True)) == use
