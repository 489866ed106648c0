"""What the device profiles and networks that come with edgesim promise."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from edgesim import shipped, yaml_source
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.network import NetworkOrigin
from edgesim.devices.origin import Figure
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.devices.radio import Radio
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
PROMISED = {
    *("pixel-6", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "jetson-nano", "jetson-orin-nano"),
    *("xiaomi-mi-9", "framework-13-amd", "renesas-ek-ra8d1"),
}
FILES = sorted(shipped.folder("device_profiles").rglob("*.yaml"))


def _figures(profile: DeviceProfile) -> list[Figure[Any]]:
    compute, power = profile.compute, profile.power
    figures: tuple[Figure[Any] | None, ...] = (
        *(compute.rate, compute.step_overhead, compute.jitter, profile.cores, profile.memory),
        *(power.idle, power.active),
        *(dict(profile.thermal).values() if profile.thermal else ()),
        profile.battery and profile.battery.capacity,
    )
    return [figure for figure in figures if figure is not None]


def _radio_figures(radio: Radio | None) -> list[Figure[Any]]:
    if radio is None:
        return []
    return [figure for way in (radio.downlink, radio.uplink) for figure in (way.base, way.per_bit)]


def test_there_are_at_least_sixteen_devices_all_kinds_among_them_and_six_networks() -> None:
    assert len(SHIPPED.names()) >= 16
    assert set(SHIPPED.names()) >= PROMISED
    kinds = {SHIPPED.load(name).kind for name in SHIPPED.names()}
    assert kinds >= {"board", "phone", "accelerator board", "microcontroller", "laptop"}
    assert SHIPPED.network_names() == ("5g", "broadband", "cellular", "iot", "lte", "wifi")


@pytest.mark.parametrize("name", SHIPPED.names())
def test_every_figure_says_how_it_is_known(name: str) -> None:
    for figure in _figures(SHIPPED.load(name)):
        assert 0 <= figure.low <= figure.value <= figure.high
        assert len(figure.source) > 10


@pytest.mark.parametrize("name", SHIPPED.names())
def test_what_was_measured_names_a_public_repository_or_the_steps_that_were_timed(name: str) -> None:
    profile = SHIPPED.load(name)
    for figure in _figures(profile):
        known = r"training steps of the scenario" if profile.measured else r"\b[\w-]+/[\w.-]+\b"
        assert figure.basis != "measured" or re.search(known, figure.source)


@pytest.mark.parametrize("name", SHIPPED.names())
def test_an_estimated_speed_has_a_range_of_at_least_a_factor_of_two(name: str) -> None:
    compute = SHIPPED.load(name).compute
    for figure in (compute.rate, compute.step_overhead):
        assert figure.basis != "estimated" or figure.high >= 2 * figure.low


@pytest.mark.parametrize("name", SHIPPED.names())
def test_a_device_is_plausible(name: str) -> None:
    profile = SHIPPED.load(name)
    idle, active = profile.power.idle, profile.power.active
    assert 1e7 <= profile.compute.rate.value <= 1e13
    assert 1e-5 <= profile.compute.step_overhead.value <= 0.5
    assert 2**18 <= profile.memory.value <= 2**37
    assert (profile.memory.value < 2**21) == (profile.kind == "microcontroller")
    assert (
        profile.memory.low < profile.memory.value or profile.measured
    )  # there the system tells what is left
    assert active is None or 0.1 <= active.value <= 100
    if idle and active:
        assert 0.01 <= idle.value < active.value
    assert profile.network in SHIPPED.network_names()


@pytest.mark.parametrize("name", SHIPPED.names())
def test_phones_have_batteries_that_last_for_hours_of_training(name: str) -> None:
    profile = SHIPPED.load(name)
    if profile.battery is None:
        assert profile.kind != "phone"
    else:
        assert profile.power.active is not None
        assert 1 * 3600 <= profile.battery.capacity.value / profile.power.active.value <= 12 * 3600


@pytest.mark.parametrize("name", SHIPPED.network_names())
def test_a_network_is_plausible_and_says_how_it_is_known(name: str) -> None:
    network = SHIPPED.network(name)
    assert 1e5 <= network.uplink.quantile(0.5) <= network.downlink.quantile(0.5) <= 1e9
    assert 1e-4 <= network.latency.quantile(0.5) <= 0.5
    assert 0 < network.jitter < 1
    for number in NetworkOrigin.model_fields:
        assert len(getattr(network.origin, number).source) > 10
    for figure in _radio_figures(network.radio):
        assert len(figure.source) > 10


@pytest.mark.parametrize("name", ["wifi", "lte", "5g", "iot"])
def test_a_radio_draws_a_few_watts_at_its_usual_rate_and_more_for_sending(name: str) -> None:
    network = SHIPPED.network(name)
    assert network.radio is not None
    down, up = network.radio.downlink, network.radio.uplink
    down_w = down.base.value + down.per_bit.value * network.downlink.quantile(0.5).item()
    up_w = up.base.value + up.per_bit.value * network.uplink.quantile(0.5).item()
    assert 0.3 < down_w < up_w < 4


def test_only_what_was_measured_on_phones_is_called_measured() -> None:
    bases = {
        name: {figure.basis for figure in _radio_figures(SHIPPED.network(name).radio)}
        for name in SHIPPED.network_names()
    }
    measured, estimated = {"measured"}, {"estimated"}
    assert bases == {
        "5g": measured,
        "broadband": set(),
        "cellular": estimated,
        "iot": estimated,
        "lte": measured,
        "wifi": estimated,
    }


@pytest.mark.parametrize(
    "slow_to_fast",
    [
        ("raspberry-pi-zero-2-w", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "macbook-neo"),
        ("jetson-nano", "jetson-tx2", "jetson-xavier-nx", "jetson-orin-nano", "jetson-agx-orin"),
        ("nexus-6", "redmi-note-8", "galaxy-a53", "xiaomi-mi-9", "pixel-6", "pixel-7", "xiaomi-12"),
    ],
)
def test_a_better_device_computes_faster_and_loses_less_per_step(slow_to_fast: tuple[str, ...]) -> None:
    for slow, fast in itertools.pairwise(SHIPPED.load(name).compute for name in slow_to_fast):
        assert slow.rate.value < fast.rate.value
        assert slow.step_overhead.value > fast.step_overhead.value


def test_microcontrollers_are_the_slowest_and_accelerators_the_fastest() -> None:
    rates: dict[str, list[float]] = {}
    for name in SHIPPED.names():
        profile = SHIPPED.load(name)
        rates.setdefault(profile.kind, []).append(profile.compute.rate.value)
    fastest = {kind: max(values) for kind, values in rates.items()}
    slowest = {kind: min(values) for kind, values in rates.items()}
    assert fastest.pop("microcontroller") < min(slowest[kind] for kind in fastest)
    assert slowest.pop("accelerator board") > max(fastest[kind] for kind in slowest if kind in fastest)


def test_networks_rank_as_one_expects() -> None:
    down = {name: SHIPPED.network(name).downlink.quantile(0.5).item() for name in SHIPPED.network_names()}
    up = {name: SHIPPED.network(name).uplink.quantile(0.5).item() for name in SHIPPED.network_names()}
    assert down["iot"] < down["broadband"] < down["lte"] <= down["5g"] < down["wifi"]
    assert up["iot"] < up["lte"] < up["5g"] < up["wifi"]


def test_the_measured_phone_predicts_its_own_steps() -> None:
    """LeNet of 4.4 MFLOP forward on a Xiaomi Mi 9: measured 9.66 ms at batch 1, 19.15 ms at batch 16."""
    compute = SHIPPED.load("xiaomi-mi-9").compute
    for batch, measured_s in ((1, 9.658e-3), (16, 19.145e-3)):
        step_s = compute.step_overhead.value + 3 * 4.42e6 * batch / compute.rate.value
        assert step_s == pytest.approx(measured_s, rel=0.2)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_opens_with_a_comment_and_names_no_place_on_a_machine(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert not re.search(r"\.\./|(?:^|[\s(])/\w|\bshared\b|\.csv of", text)


def test_5g_is_a_name_and_no_number(catalogue: Catalogue) -> None:
    data = yaml_source.parse("network: 5g", "test").data
    assert data == {"network": "5g"}
    assert yaml_source.parse(yaml_source.dump(data), "test").data == data
    written = json.dumps({"profile": "pixel-6", "count": 2, **data})
    group = TypeAdapter(FleetGroup).validate_json(written, context={"catalogue": catalogue})
    fleet = Fleet.draw([group], catalogue, Streams(1))
    assert group.network == "5g"
    assert fleet.network_jitter.tolist() == [SHIPPED.network("5g").jitter] * 2
