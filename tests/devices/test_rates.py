"""Rates that vary in time: every bit is integrated over the trace, and constant rates are as they were."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from edgesim import yaml_source
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.network import Direction, Network
from edgesim.devices.periodic_rate import PeriodicRate
from edgesim.devices.profile import Catalogue
from edgesim.devices.rate_trace import RateTrace
from edgesim.devices.rates import Rates
from edgesim.errors import InputError
from edgesim.learner import Part, Workload
from edgesim.rng import Streams
from tests.originals import ORIGINALS

CSV = "trace,t_s,down_mbps,up_mbps\na,5,8,1\na,6,0,0\na,8,4,3\nb,0,2,2\nb,1,6,6\n"


def rates(*groups: dict[str, Any], folder: Path = Path(), seed: int = 1) -> Rates:
    written = [{"profile": "raspberry-pi-4", "count": 1, **group} for group in groups]
    adapter = TypeAdapter(FleetGroup)
    made = [adapter.validate_json(json.dumps(group), context={"folder": folder}) for group in written]
    streams = Streams(seed)
    return Rates(Fleet.draw(made, Catalogue(environment={}), streams), streams)


def traced(file: str = "drives.csv", **more: Any) -> dict[str, Any]:
    several = {"unit": "Mbit/s", "trace_column": "trace", **more}
    down, up = ({"trace": file, "column": f"{way}_mbps", **several} for way in ("down", "up"))
    return {"network": {"downlink": down, "uplink": up, "latency": "1 s"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drives.csv").write_text(CSV)
    return tmp_path


# ---------------------------------------------------------------------------------------- a staircase by hand

# 8 bit/s for 1 s, none for 2 s, 4 bit/s for 1.5 s, then again: 14 bits in 4.5 s.
STAIRS = PeriodicRate.of(np.array([1.0, 2.0, 1.5]), np.array([8.0, 0.0, 4.0]))


def test_a_staircase_and_its_integral() -> None:
    assert STAIRS.bounds_s.tolist() == [0, 1, 3, 4.5]
    assert STAIRS.bits.tolist() == [0, 8, 8, 14]
    assert STAIRS.period_s == 4.5
    assert STAIRS.mean_bps == 14 / 4.5


@pytest.mark.parametrize(
    ("bits", "from_s", "seconds"),
    [
        (4, 0, 0.5),
        (8, 0, 1),  # and not the two seconds in which nothing passes
        (10, 0, 3.5),
        (14, 0, 4.5),
        (16, 0, 4.75),
        (28, 0, 9),
        (2, 2, 1.5),
        (6, 1.5, 3),
        (10, 4, 1.5),  # 2 bits to the end, 8 from the start
        (1400, 0, 450),
        (4, 4500, 0.5),
        (0, 2, 0),
    ],
)
def test_seconds_of_a_transfer(bits: float, from_s: float, seconds: float) -> None:
    assert STAIRS.seconds(np.array([bits]), np.array([from_s])).tolist() == [seconds]


@pytest.mark.parametrize(
    ("at_s", "rate_bps", "for_s"),
    [(0, 8, 1), (0.25, 8, 0.75), (1, 0, 2), (4, 4, 0.5), (4.5, 8, 1), (9.25, 8, 0.75), (10, 0, 2)],
)
def test_the_rate_now_and_for_how_long(at_s: float, rate_bps: float, for_s: float) -> None:
    assert STAIRS.rate_at(at_s) == (rate_bps, for_s)


def test_bits_between_two_times() -> None:
    assert STAIRS.bits_between(0.5, 4) == 8
    assert STAIRS.bits_between(4, 5) == 6
    assert STAIRS.bits_between(1, 3) == 0
    assert STAIRS.bits_between(0.5, 45.5) == 140


@st.composite
def stairs(draw: st.DrawFn) -> PeriodicRate:
    lasts = draw(st.lists(st.sampled_from([0.0]) | st.floats(0.001, 100), max_size=8))
    rate = st.sampled_from([0.0]) | st.floats(0.01, 1e9)
    values = draw(st.lists(rate, min_size=len(lasts), max_size=len(lasts)))
    return PeriodicRate.of(np.array([*lasts, 1.0]), np.array([*values, draw(st.floats(0.01, 1e9))]))


@given(stairs(), st.floats(0, 1e5), st.floats(1e-3, 20))
def test_what_passes_in_the_seconds_of_a_transfer_is_its_bits(
    rate: PeriodicRate, from_s: float, periods: float
) -> None:
    bits = periods * float(rate.bits[-1])
    seconds = float(rate.seconds(np.array([bits]), np.array([from_s]))[0])
    slack = rate.rates_bps.max() * 1e-9
    assert rate.bits_between(from_s, from_s + seconds) == pytest.approx(bits, rel=1e-9, abs=slack)


@given(stairs(), st.floats(0, 1e5))
def test_walking_from_change_to_change_passes_the_same_bits(rate: PeriodicRate, from_s: float) -> None:
    at_s, bits = from_s, 0.0
    for _ in range(20):
        rate_bps, for_s = rate.rate_at(at_s)
        assert at_s + for_s > at_s
        bits += rate_bps * for_s
        at_s += for_s
    slack = rate.rates_bps.max() * 1e-9
    assert rate.bits_between(from_s, at_s) == pytest.approx(bits, rel=1e-9, abs=slack)


# -------------------------------------------------------------------------------------------- whole fleets


def test_every_device_takes_a_trace_and_a_time_in_it_the_same_in_both_directions(folder: Path) -> None:
    model = rates({"count": 400, **traced()}, folder=folder)
    fleet = model.fleet
    means = {14 / 4.5: 5.5 / 4.5, 4.0: 4.0}  # of a and b, down and up
    assert set(fleet.downlink_bps.tolist()) == {mean * 1e6 for mean in means}
    assert [means[mean / 1e6] * 1e6 for mean in fleet.downlink_bps.tolist()] == fleet.uplink_bps.tolist()
    assert (fleet.downlink_bps == 4e6).mean() == pytest.approx(0.5, abs=0.08)
    begins = [model.rate_at("down", device, 0, 0.0) for device in range(400)]
    assert len(set(begins)) == 400
    at_zero = [rate_bps for rate_bps, _ in begins if rate_bps == 0]
    assert len(at_zero) / 400 == pytest.approx(0.5 * 2 / 4.5, abs=0.07)
    for device, (rate_bps, until_s) in enumerate(begins):
        up_bps, up_until_s = model.rate_at("up", device, 0, 0.0)
        assert up_until_s == until_s
        assert (up_bps == 0) == (rate_bps == 0)


def test_another_entry_leaves_the_traces_of_the_first_as_they_were(folder: Path) -> None:
    alone = rates({"count": 5, **traced()}, folder=folder)
    joined = rates({"count": 5, **traced()}, {"count": 5, **traced()}, folder=folder)
    both = [[model.rate_at("down", device, 0, 0.0) for device in range(5)] for model in (alone, joined)]
    assert both[0] == both[1]


def test_constant_and_traced_entries_side_by_side_charge_what_each_would_alone(folder: Path) -> None:
    jitter = {"network": {**traced()["network"], "jitter": 0.3}}
    model = rates({"count": 3, "network": "lte"}, {"count": 4, **jitter}, folder=folder)
    devices, visits = np.array([0, 3, 6, 2, 3]), np.array([0, 1, 2, 3, 4])
    bits, start_s = np.array([1e6, 2e6, 3e7, 4e6, 5e6]), np.array([0.0, 1.5, 2.5, 3.0, 4.0])
    together = model.transfer_s("down", bits, devices, visits, start_s)
    for row in range(5):
        at = slice(row, row + 1)
        alone = model.transfer_s("down", bits[at], devices[at], visits[at], start_s[at])
        assert alone.tolist() == together[at].tolist()
        who = (int(devices[row]), int(visits[row]))
        end_s = float(start_s[row] + together[row])
        passed = model.bits_between("down", *who, float(start_s[row]), end_s)
        assert passed == pytest.approx(bits[row], rel=1e-9)


def test_the_rate_of_a_steady_link_never_changes() -> None:
    model = rates({"network": {"uplink": "1 Mbit/s", "downlink": "4 Mbit/s"}})
    assert model.rate_at("down", 0, 0, 7.0) == (4e6, np.inf)
    assert model.rate_at("up", 0, 0, 7.0) == (1e6, np.inf)
    assert model.bits_between("up", 0, 0, 7.0, 9.0) == 2e6


@given(st.integers(0, 10**9), st.integers(0, 50), st.integers(0, 100))
def test_steady_links_take_to_the_last_digit_what_the_cost_model_charges(
    size: int, device: int, visit: int
) -> None:
    uneven = {"uplink": "3 Mbit/s", "downlink": "7 Mbit/s", "latency": "11 ms", "jitter": 0.4}
    model = rates({"count": 50, "network": "lte"}, {"network": uneven})
    workload = Workload("s", 1, 2, (), (Part("a", size),), size, 1, 160, 5, "full", 1.0)
    devices, visits = np.array([device]), np.array([visit])
    phases = CostModel(model.fleet, model.streams).nominal([workload], devices, visits)
    bits = np.array([size]) * 8.0
    charged: dict[Direction, Any] = {"down": phases.download_s, "up": phases.upload_s}
    for direction, seconds in charged.items():
        transfer_s = model.transfer_s(direction, bits, devices, visits, np.zeros(1))
        assert (model.fleet.latency_s[devices] + transfer_s).tolist() == seconds.tolist()


# ------------------------------------------------------------------------------------------ files and errors


def test_a_network_with_traces_written_and_read_again_is_the_same(folder: Path) -> None:
    adapter = TypeAdapter(Network)
    network = adapter.validate_json(json.dumps(traced()["network"]), context={"folder": folder})
    assert isinstance(network.downlink, RateTrace)
    assert network.downlink.trace == folder / "drives.csv"
    assert adapter.validate_json(json.dumps(network.model_dump(mode="json", exclude_none=True))) == network


def test_a_file_of_one_trace_needs_no_column_of_traces(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("when,kbit\n0,100\n2,300\n")
    rate = {"trace": "one.csv", "column": "kbit", "unit": "kbit/s", "time": "when"}
    model = rates({"network": {"downlink": rate, "uplink": "1 Mbit/s"}}, folder=tmp_path)
    assert model.fleet.downlink_bps.tolist() == [200e3]
    assert model.bits_between("down", 0, 0, 1.0, 5.0) == pytest.approx(800e3)


def test_a_column_may_say_how_long_each_sample_lasts(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("lasts,kbit\n1,100\n3,300\n")
    rate = {"trace": "one.csv", "column": "kbit", "unit": "kbit/s", "duration": "lasts"}
    model = rates({"network": {"downlink": rate, "uplink": "1 Mbit/s"}}, folder=tmp_path)
    assert model.fleet.downlink_bps.tolist() == [250e3]


def test_samples_at_the_same_time_leave_the_last_word_to_the_last_and_it_lasts_as_the_median(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.csv").write_text("t_s,kbit\n7,1\n8,99\n8,2\n10,3\n")
    (trace,) = RateTrace(trace=tmp_path / "one.csv", column="kbit", unit="kbit/s").read()
    assert trace.bounds_s.tolist() == [0, 1, 1, 3, 4.5]
    assert trace.bits.tolist() == [0, 1e3, 1e3, 5e3, 9.5e3]
    assert trace.rate_at(1.0) == (2e3, 2)


WRONG_FILES = [
    (CSV, {"column": "speed"}, 'drives.csv: has no column "speed" (it has trace, t_s, down_mbps, up_mbps)'),
    (CSV, {"time": "t"}, 'drives.csv: has no column "t"'),
    (CSV, {"trace_column": "traces"}, 'has no column "traces"; did you mean "trace"?'),
    (
        CSV,
        {"trace_column": None},
        "drives.csv:5: t_s: is earlier than the sample before in drives.csv; sort the rows, or",
    ),
    (
        CSV.replace("6,0,", "4,0,"),
        {},
        "drives.csv:3: t_s: is earlier than the sample before in a; sort the rows",
    ),
    (CSV.replace("6,0,", "6,-1,"), {}, "drives.csv:3: down_mbps: is negative; correct it or drop the row"),
    (CSV.replace("6,0,", "6,x,"), {}, 'drives.csv:3: down_mbps: is "x", no finite number'),
    (CSV.replace("6,0,", "6,,"), {}, "drives.csv:3: down_mbps: is missing"),
    (CSV.replace("a,6,", ",6,"), {}, "drives.csv:3: trace: is missing"),
    (CSV + "c,0,1,1\n", {}, "drives.csv:7: t_s: is the only time in c; a trace needs two or more"),
    (
        CSV + "c,0,0,1\nc,1,0,1\n",
        {},
        "drives.csv:7: down_mbps: is zero in all of c, so that nothing would ever",
    ),
    ("trace,t_s,down_mbps\n", {}, "drives.csv: has no samples; add some"),
]


@pytest.mark.parametrize(("text", "more", "message"), WRONG_FILES)
def test_a_wrong_file_is_refused_with_place_and_column(
    tmp_path: Path, text: str, more: dict[str, Any], message: str
) -> None:
    (tmp_path / "drives.csv").write_text(text)
    several = {"unit": "Mbit/s", "column": "down_mbps", "trace_column": "trace", **more}
    rate = {"trace": "drives.csv", **several}
    with pytest.raises(InputError) as caught:
        rates({"network": {"downlink": rate, "uplink": "1 Mbit/s"}}, folder=tmp_path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"drives\.csv: there is no such file"):
        rates(traced(), folder=tmp_path)


WRONG_KEYS = [
    ("{trace: a.csv, unit: Mbit/s}", "network.downlink.column: is missing, and it is required"),
    ("{trace: a.csv, column: down}", "network.downlink.unit: is missing, and it is required"),
    ("{trace: a.csv, column: down, unit: MB}", 'network.downlink.unit: "1 MB" has the wrong dimension'),
    ("{trace: a.csv, column: down, unit: Mbit/s, colum: t}", "network.downlink.colum: unknown key"),
    ("{dist: lognorml}", 'network.downlink: no distribution "lognorml"'),
    ("7", "network.downlink: needs a unit, as in 20 Mbit/s; got the bare number 7"),
]


@pytest.mark.parametrize(("rate", "message"), WRONG_KEYS)
def test_a_wrong_rate_is_refused_with_its_place(rate: str, message: str) -> None:
    text = f"profile: any\ncount: 3\nnetwork:\n  uplink: 1 Mbit/s\n  downlink: {rate}\n"
    with pytest.raises(InputError) as caught:
        yaml_source.validate(yaml_source.parse(text, "s.yaml"), FleetGroup)
    assert str(caught.value).startswith(f"s.yaml:5: {message}")


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the recorded traces are not here")
def test_recorded_traces_are_read_as_they_lie() -> None:
    read = 0
    for file in sorted(ORIGINALS.glob("net_traces/*.csv")):
        with file.open(encoding="utf-8") as lines:
            header = lines.readline().strip().split(",")
        if not {"trace", "t_s", "down_mbps"} <= set(header):
            continue
        duration = "dt_s" if "dt_s" in header else None
        source = RateTrace(
            trace=file, column="down_mbps", unit="Mbit/s", duration=duration, trace_column="trace"
        )
        for trace in source.read():
            read += 1
            mean_bps = np.average(trace.rates_bps, weights=np.diff(trace.bounds_s))
            assert trace.mean_bps == pytest.approx(mean_bps)
            half_s = trace.seconds(np.array([trace.bits[-1] / 2]), np.zeros(1)).item()
            assert trace.bits_between(0, half_s) == pytest.approx(trace.bits[-1] / 2)
    assert read > 0
