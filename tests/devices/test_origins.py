"""What a run keeps of how the figures of its devices are known."""

from __future__ import annotations

import pandas as pd
import pytest

from edgesim.devices.fleet import FleetGroup
from edgesim.devices.measured import Fit, Measured, TimedStep
from edgesim.devices.origins import origins
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.results.tables import frame

CATALOGUE = Catalogue()
WRITTEN_OUT = {"downlink": "8 Mbit/s", "uplink": "1 Mbit/s"}
STEP = TimedStep.model_construct(shape="abc", label="full", batch=1, seconds=0.1)
FIT = Fit(coefficients={}, plain={}, classes=(), residual=0.1)
MEASURED = Measured.model_construct(source="a stop watch", emulated=False, table=(STEP,), fit=FIT)


def table(**entry: object) -> pd.DataFrame:
    """The table of one fleet entry, by figure."""
    group = FleetGroup.model_validate(
        {"profile": "pixel-6", "count": 3, **entry}, context={"catalogue": CATALOGUE}
    )
    return frame("origins", origins([group], CATALOGUE, timed=False)).set_index("figure")


def test_each_figure_has_its_range_its_basis_and_its_source() -> None:
    found = table().loc["rate_flops"]
    profile = CATALOGUE.load("pixel-6").compute.rate
    assert (found["value"], found["low"], found["high"]) == (profile.value, profile.low, profile.high)
    assert (found["basis"], found["source"]) == ("estimated", profile.source)
    assert (found["profile"], found["devices"]) == ("pixel-6", 3)


def test_what_a_scenario_scales_is_its_own_and_says_of_what() -> None:
    found, plain = table(compute={"scale": 0.25}), table()
    assert found.loc["rate_flops", "value"] == 0.25 * plain.loc["rate_flops", "value"]
    assert found.loc["step_overhead_s", "high"] == 4 * plain.loc["step_overhead_s", "high"]
    assert found.loc["rate_flops", "basis"] == "override"
    assert found.loc["rate_flops", "source"].startswith(
        "0.25 times, as the scenario says, what is estimated: "
    )


def test_what_a_scenario_gives_has_no_range() -> None:
    found = table(
        compute={"seconds_per_step": "0.5 s"}, network={"downlink": "8 Mbit/s", "uplink": "1 Mbit/s"}
    )
    assert found.loc["step_overhead_s", "value"] == 0.5
    assert found.loc["downlink_bps", "value"] == 8e6
    own = found.loc[["rate_flops", "step_overhead_s", "downlink_bps", "uplink_bps", "latency_s"]]
    assert set(own["basis"]) == {"override"}
    assert own[["low", "high"]].isna().all(axis=None)


def test_power_that_nobody_knows_is_unknown() -> None:
    found = table(network=WRITTEN_OUT).loc["radio_up_w"]
    assert found["basis"] == "unknown"
    assert pd.isna(found["value"])


def test_of_a_population_the_value_is_the_median() -> None:
    group = FleetGroup.model_validate({"population": "phones-2023", "count": 3})
    found = frame("origins", origins([group], CATALOGUE, timed=False)).set_index("figure")
    assert found.loc["memory_bytes", "value"] == CATALOGUE.population("phones-2023").memory.median


class _Timed(Catalogue):
    """The shipped profiles, each with one step that was timed."""

    def load(self, name: str) -> DeviceProfile:
        measured = MEASURED.model_copy(update={"emulated": name == "pixel-6"})
        return super().load(name).model_copy(update={"measured": measured})


@pytest.mark.parametrize(
    ("profile", "timed", "basis"),
    [
        ("raspberry-pi-4", True, ["measured"]),
        ("pixel-6", True, ["emulated"]),
        ("raspberry-pi-4", False, []),
    ],
)
def test_timed_steps_count_where_the_cost_is_measured(profile: str, timed: bool, basis: list[str]) -> None:
    found = frame("origins", origins([FleetGroup(profile=profile, count=1)], _Timed(), timed=timed))
    assert list(found.loc[found["figure"] == "timed_steps", "basis"]) == basis
