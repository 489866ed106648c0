import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesim import shipped
from edgesim.devices.network import NetworkProfile
from edgesim.devices.origin import weakest
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.errors import EdgesimError, InputError

SHIPPED = Catalogue(environment={})
Make = Callable[..., Catalogue]


def _reread(value: DeviceProfile | NetworkProfile) -> Any:
    return type(value).model_validate_json(json.dumps(value.model_dump(mode="json")))


@pytest.mark.parametrize("name", SHIPPED.names())
def test_profile_written_and_read_again_is_the_same(name: str) -> None:
    assert _reread(SHIPPED.load(name)) == SHIPPED.load(name)


@pytest.mark.parametrize("name", SHIPPED.network_names())
def test_network_written_and_read_again_is_the_same(name: str) -> None:
    assert _reread(SHIPPED.network(name)) == SHIPPED.network(name)


def test_raspberry_pi_4_carries_its_measured_rate() -> None:
    profile = SHIPPED.load("raspberry-pi-4")
    assert (profile.compute.rate.value, profile.compute.rate.basis) == (6.4e9, "measured")
    assert profile.compute.basis == "estimated"


def test_unknown_power_is_absent_and_not_zero() -> None:
    assert SHIPPED.load("renesas-ek-ra8d1").power.active is None


def test_weakest_basis_wins() -> None:
    assert weakest("measured", "datasheet") == "datasheet"
    assert weakest("estimated", "measured") == "estimated"


WRONG = [
    (
        "value: 2 GFLOP/s",
        "value: 9 GFLOP/s",
        ":4: compute.rate: low <= value <= high must hold, got low 1e+09",
    ),
    ("value: 2 GFLOP/s", "value: 2 Mbit/s", ':4: compute.rate.value: "2 Mbit/s" has the wrong dimension'),
    (
        "value: 2 GFLOP/s",
        "value: 2",
        ":4: compute.rate.value: needs a unit, as in 5 GFLOP/s; got the bare number 2",
    ),
    (", source: a test}\nnetwork", ", source: ''}\nnetwork", ":9: power.active.source: must "),
    (", source: a test}\nnetwork", "}\nnetwork", ":9: power.active.source: is missing, and it is required"),
    (
        "basis: datasheet",
        "basis: guessed",
        ":7: memory.basis: must be 'measured', 'datasheet' or 'estimated'",
    ),
    ("kind: board", "kind: fridge", ":2: kind: must be "),
    ("power:", "powr:", ':8: powr: unknown key; did you mean "power"?'),
    (
        "network: cable",
        "network: cabel",
        ':10: network: no network "cabel"; did you mean "cable"? (device_profiles/',
    ),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_wrong_profile_is_reported_with_its_line(
    plain: Make, plain_text: str, right: str, wrong: str, message: str
) -> None:
    assert right in plain_text
    with pytest.raises(InputError) as caught:
        plain(plain_text.replace(right, wrong)).load("plain")
    assert f"plain.yaml{message}" in str(caught.value)


def test_unknown_profile_names_the_nearest_and_says_how_many_there_are() -> None:
    with pytest.raises(InputError) as caught:
        SHIPPED.load("pixel6")
    known = len(SHIPPED.names())
    assert str(caught.value) == (
        f'no device profile "pixel6"; did you mean "pixel-6"? (device_profiles/ has {known})'
    )


@pytest.mark.parametrize("name", ["../pixel-6", "networks/wifi", "/etc/passwd", ""])
def test_a_profile_name_is_no_path(name: str) -> None:
    with pytest.raises(InputError, match="no device profile"):
        SHIPPED.load(name)


def test_profiles_beside_the_scenario_come_before_the_search_path_and_the_shipped(
    tmp_path: Path, plain_text: str
) -> None:
    def write(folder: Path, name: str, title: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = plain_text.replace("Plain board", title).replace("cable", "wifi")
        (folder / f"{name}.yaml").write_text(text)

    scenario = tmp_path / "study" / "pixel-6.yaml"
    write(tmp_path / "extra", "pixel-6", "of the search path")
    write(tmp_path / "extra", "a", "of the search path")
    write(scenario.parent, "a", "beside")
    write(scenario.parent, "b", "beside")
    write(scenario.parent / "device_profiles", "b", "in the folder beside")
    scenario.write_text("a scenario, no profile")
    catalogue = Catalogue(scenario, {"EDGESIM_PROFILES": str(tmp_path / "extra")})
    titles = {name: catalogue.load(name).title for name in ("pixel-6", "a", "b", "raspberry-pi-4")}
    assert titles == {
        "pixel-6": "of the search path",
        "a": "beside",
        "b": "in the folder beside",
        "raspberry-pi-4": "Raspberry Pi 4 Model B (4 GB)",
    }
    assert catalogue.names() == ("a", "b", *SHIPPED.names())


def test_profiles_are_found_where_edgesim_profile_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_text: str
) -> None:
    (tmp_path / "device_profiles").mkdir()
    (tmp_path / "device_profiles" / "mine.yaml").write_text(plain_text.replace("cable", "wifi"))
    monkeypatch.chdir(tmp_path)
    assert "mine" in Catalogue(environment={}).names()
    assert Catalogue(tmp_path / "elsewhere" / "scenario.yaml", {}).load("mine").title == "Plain board"


def test_a_search_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='EDGESIM_PROFILES: "nowhere" is no folder'):
        Catalogue(environment={"EDGESIM_PROFILES": "nowhere"})
    Catalogue(environment={"EDGESIM_PROFILES": str(tmp_path)})


def test_a_shipped_folder_that_is_missing_is_an_error() -> None:
    assert (shipped.folder("device_profiles") / "pixel-6.yaml").is_file()
    with pytest.raises(EdgesimError, match="lacks its folder recipes/"):
        shipped.folder("recipes")
