from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.devices.outages import Listed, Outage, Outages, Regular
from edgesim.devices.presence import Presence
from edgesim.rng import Streams
from tests.devices.fleets import entry
from tests.originals import ORIGINALS

HOUR_S, DAY_S = 3600.0, 86_400.0
WINDOWS = "client,start_s,end_s\n1,0,10\n1,20,30\n1,30,35\n2,50,60\n2,5,40\n2,7,9\n3,3,3\n"

MARKOV = {"name": "markov", "on": "10 min", "off": "1 h"}
COSINE = {"name": "diurnal", "peak": 0.8, "trough": 0.2, "peak_hour": 4, "session": "1 h"}
STEEP = {"name": "diurnal", "shares": [0.0] * 8 + [1.0] * 8 + [0.5] * 8, "session": "30 min"}
SHIFTED = {"shift": {"dist": "uniform", "low": "0 h", "high": "24 h"}}


def presence(*availabilities: Any, count: int = 1, folder: Path = Path(), seed: int = 1) -> Presence:
    groups = [entry(count, folder, availability=availability) for availability in availabilities]
    return Presence.draw(groups, Streams(seed))


def windows(
    there: Presence, devices: np.ndarray, upto_s: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Devices, starts and ends of their windows from the first that begins after 0."""
    start_s = there.next_s(devices, there.until_s(devices, 0.0))
    while (going := start_s < upto_s).any():
        devices, start_s = devices[going], start_s[going]
        end_s = there.until_s(devices, start_s)
        yield devices, start_s, end_s
        start_s = there.next_s(devices, end_s)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "windows.csv").write_text(WINDOWS)
    return tmp_path


def traced(folder: Path, count: int = 3, **written: Any) -> Presence:
    availability = {"name": "trace", "file": "windows.csv", "clients": "in_order", **written}
    return presence(availability, count=count, folder=folder)


# ----------------------------------------------------------------------------------------- laws that all keep


def _all_kinds(folder: Path) -> Presence:
    (folder / "windows.csv").write_text(WINDOWS)
    trace = {"name": "trace", "file": "windows.csv", "period": "60 s"}
    kinds = ("always", MARKOV, COSINE, {**STEEP, **SHIFTED}, trace, {**trace, **SHIFTED})
    groups = [entry(10, folder, availability=kind) for kind in kinds]
    nightly = Outages((Outage(Regular(DAY_S), HOUR_S), Outage(Listed((5.0, 7.0)), 2.5)))
    absences = [nightly if number % 2 else Outages() for number in range(len(groups))]
    return Presence.draw(groups, Streams(1), absences)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Presence:
    return _all_kinds(tmp_path_factory.mktemp("mixed"))


@settings(deadline=None)
@given(data=st.data())
def test_windows_begin_and_end_where_presence_does(mixed: Presence, data: st.DataObject) -> None:
    device = np.array([data.draw(st.integers(0, 59))])
    time_s = data.draw(st.floats(0, 1e6) | st.integers(0, 300).map(lambda n: n * 1800.0))
    for _ in range(4):
        here = mixed.present(device, time_s).item()
        until_s, next_s = mixed.until_s(device, time_s).item(), mixed.next_s(device, time_s).item()
        assert (until_s > time_s) == here
        assert (next_s == time_s) == here
        change_s = until_s if here else next_s
        if not np.isfinite(change_s):
            return
        assert mixed.present(device, change_s).item() != here
        between_s = data.draw(st.floats(time_s, change_s, exclude_max=True))
        for inside_s in (between_s, np.nextafter(change_s, 0)):
            assert mixed.present(device, inside_s).item() == here
        if here:
            assert mixed.until_s(device, between_s).item() == until_s
        else:
            assert mixed.next_s(device, between_s).item() == next_s
        time_s = change_s


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_seconds_of_presence_are_those_of_the_windows(mixed: Presence, data: st.DataObject) -> None:
    device = np.array([data.draw(st.integers(0, 59))])
    start_s = data.draw(st.floats(0, 1e5))
    end_s = start_s + data.draw(st.floats(0, 2000))
    total_s, at_s = 0.0, start_s
    while (at_s := mixed.next_s(device, at_s).item()) < end_s:
        until_s = mixed.until_s(device, at_s).item()
        total_s += min(until_s, end_s) - at_s
        at_s = until_s
    assert mixed.present_s(device, start_s, end_s).item() == pytest.approx(total_s, abs=1e-6)


def test_answers_are_the_same_one_by_one_and_in_any_order(mixed: Presence) -> None:
    devices = np.random.default_rng(1).permutation(60)
    for ask in (mixed.present, mixed.until_s, mixed.next_s):
        together = ask(devices, 12_345.6)
        alone = [ask(devices[i : i + 1], 12_345.6).item() for i in range(60)]
        assert together.tolist() == alone


def test_the_first_presence_is_the_least_of_the_next_ones(mixed: Presence) -> None:
    devices = np.arange(10, 60)
    for at_s in np.linspace(0, DAY_S, 25):
        absent = devices[~mixed.present(devices, at_s)]
        assert mixed.first_s(absent, at_s) == mixed.next_s(absent, at_s).min()
    assert mixed.first_s(np.arange(60), 5.0) == 5.0
    assert mixed.first_s(np.arange(0), 5.0) == np.inf
    absent = np.flatnonzero(~mixed.present(np.arange(60), 0.0))
    assert mixed.first_s(absent, 0) == mixed.next_s(absent, 0.0).min()
    assert mixed.first_s(absent, 5) == mixed.first_s(absent, 5.0)


def test_a_later_entry_leaves_earlier_devices_as_they_were() -> None:
    devices = np.arange(500)
    alone, joined = presence(MARKOV, count=500), presence(MARKOV, COSINE, count=500)
    assert alone.until_s(devices, 1e4).tolist() == joined.until_s(devices, 1e4).tolist()


def test_who_is_always_there_never_leaves() -> None:
    there = presence("always", count=2)
    assert there.always
    assert there.present(np.arange(2), 1e9).all()
    assert there.until_s(np.arange(2), 7.0).tolist() == [np.inf, np.inf]
    assert there.next_s(np.arange(2), 7.0).tolist() == [7.0, 7.0]
    assert there.present_s(np.arange(2), 3.0, 8.0).tolist() == [5.0, 5.0]
    assert not presence("always", MARKOV).always


def test_an_interruption_drops_the_work_unless_it_shall_pause() -> None:
    there = presence(MARKOV, {**MARKOV, "interrupted": "pause"}, count=2)
    assert there.pauses(np.arange(4)).tolist() == [False, False, True, True]
    assert there.pauses(2)


def test_outages_take_away_whom_the_law_would_let_be_there() -> None:
    outage = Outages((Outage(Listed((10.0, 12.0)), 5.0),))
    there = Presence.draw([entry(), entry()], Streams(1), [outage, Outages()])
    both = np.arange(2)
    assert not there.always
    assert there.present(both, 10.0).tolist() == [False, True]
    assert there.until_s(both, 0.0).tolist() == [10.0, np.inf]
    assert there.next_s(both, 11.0).tolist() == [17.0, 11.0]
    assert there.present_s(both, 0.0, 20.0).tolist() == [13.0, 20.0]


# ----------------------------------------------------------------------------------------------------- markov


def test_markov_devices_are_there_on_over_on_plus_off_of_the_time() -> None:
    devices = np.arange(20_000)
    there = presence(MARKOV, count=len(devices))
    share = 10 / 70
    error = np.sqrt(share * (1 - share) / len(devices))
    for at_s in (0.0, 1000.0, 1e6):
        assert there.present(devices, at_s).mean() == pytest.approx(share, abs=3 * error)


def test_markov_windows_and_gaps_alternate_with_their_means() -> None:
    devices = np.arange(2000)
    there = presence(MARKOV, count=len(devices))
    on_s, off_s = [], []
    for who, start_s, end_s in windows(there, devices, upto_s=DAY_S):
        on_s.append(end_s - start_s)
        off_s.append(there.next_s(who, end_s) - end_s)
    for lengths, mean_s in ((np.concatenate(on_s), 600.0), (np.concatenate(off_s), 3600.0)):
        error_s = mean_s / np.sqrt(len(lengths))
        assert lengths.mean() == pytest.approx(mean_s, abs=3 * error_s)
        assert (lengths > mean_s).mean() == pytest.approx(np.exp(-1), abs=3 * 0.5 / np.sqrt(len(lengths)))


def test_markov_presence_over_a_long_time_is_the_stationary_share() -> None:
    devices, long_s = np.arange(200), 20 * DAY_S
    share = presence(MARKOV, count=200).present_s(devices, 0.0, long_s) / long_s
    assert share.mean() == pytest.approx(1 / 7, abs=3 * share.std() / np.sqrt(len(devices)))


# ---------------------------------------------------------------------------------------------------- diurnal


@pytest.mark.parametrize(
    ("availability", "share"),
    [
        (COSINE, lambda hour: 0.5 + 0.3 * np.cos((hour - 4) * np.pi / 12)),
        (STEEP, lambda hour: np.interp(hour, np.arange(0.5, 24), STEEP["shares"])),
    ],
)
def test_diurnal_shares_hold_at_every_full_hour_and_half(availability: Any, share: Any) -> None:
    devices = np.arange(5000)
    there = presence(availability, count=len(devices))
    offset = 0.0 if "peak" in availability else 0.5  # where the curve is given, not interpolated
    for hour in np.arange(1, 24) + offset - 0.5 * (offset > 0):
        expected = np.clip(share(hour), 0, 1)
        error = np.sqrt(expected * (1 - expected) / len(devices))
        for day in (0, 3):
            at_s = day * DAY_S + hour * HOUR_S
            assert there.present(devices, at_s).mean() == pytest.approx(expected, abs=3.5 * error + 1e-9)


@pytest.mark.parametrize("availability", [COSINE, STEEP, {**COSINE, "peak": 0.1, "trough": 0.1}])
def test_diurnal_windows_have_the_mean_length_of_a_session(availability: dict[str, Any]) -> None:
    devices = np.arange(1000)
    there = presence(availability, count=len(devices))
    days, sums_s, counts = 4, np.zeros(len(devices)), np.zeros(len(devices))
    for who, start_s, end_s in windows(there, devices, upto_s=days * DAY_S):
        sums_s[who] += end_s - start_s
        counts[who] += 1
    session_s = {"1 h": 3600.0, "30 min": 1800.0}[availability["session"]]
    error_s = (sums_s - session_s * counts).std() / np.sqrt(len(devices)) / counts.mean()
    assert sums_s.sum() / counts.sum() == pytest.approx(session_s, abs=3 * error_s)


def test_devices_of_all_time_zones_make_the_share_even() -> None:
    devices = np.arange(5000)
    there = presence({**COSINE, **SHIFTED}, count=len(devices))
    for hour in (4, 16):
        share = there.present(devices, hour * HOUR_S).mean()
        assert share == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(len(devices)))


# ------------------------------------------------------------------------------------------------------ trace


def test_windows_of_a_trace_are_merged_and_repeat_after_whole_days(folder: Path) -> None:
    there = traced(folder)
    one, two, three = (np.array([device]) for device in range(3))
    for day_s in (0.0, DAY_S, 4 * DAY_S):
        assert there.until_s(one, day_s).item() == day_s + 10
        assert there.next_s(one, day_s + 10).item() == day_s + 20
        assert there.until_s(one, day_s + 20).item() == day_s + 35, "touching windows are one"
        assert there.until_s(two, day_s + 8).item() == day_s + 40, "and such as overlap"
        assert there.next_s(two, day_s + 40).item() == day_s + 50
    assert there.next_s(one, 35.0).item() == DAY_S
    assert there.next_s(three, 0.0).item() == np.inf, "a window without length is none"
    assert there.present_s(np.arange(3), 0.0, 2 * DAY_S).tolist() == [50.0, 90.0, 0.0]


def test_a_period_of_its_own_joins_the_last_window_to_the_first(folder: Path) -> None:
    (folder / "windows.csv").write_text("client,start_s,end_s\n7,0,10\n7,15,20\n8,0,20\n")
    there = traced(folder, count=2, period="20 s")
    assert there.until_s(np.arange(2), 16.0).tolist() == [30.0, np.inf]
    assert there.next_s(np.arange(2), 12.0).tolist() == [15.0, 12.0]


def test_a_shift_sets_the_clock_of_a_device_ahead(folder: Path) -> None:
    there = traced(folder, count=1, shift="15 s")
    assert there.next_s(np.array([0]), 0.0).item() == 5.0
    assert there.until_s(np.array([0]), 5.0).item() == 20.0


def test_clients_are_observed_each_in_its_time(folder: Path) -> None:
    (folder / "windows.csv").write_text("client,start_s,end_s\n1,86500,86600\n2,86410,86420\n")
    text = "client,trace_start_s,trace_end_s,model\n2,86400,86500,a\n3,,,b\n1,86450,86650,c\n"
    (folder / "observed.csv").write_text(text)
    there = traced(folder, count=2, observations="observed.csv")
    both = np.arange(2)
    assert there.next_s(both, 0.0).tolist() == [100.0, 10.0], "the run begins at the midnight before"
    assert there.until_s(both, 150.0).tolist() == [200.0, 150.0]
    assert there.next_s(both, 200.0).tolist() == [300.0, 210.0], "200 s later, 100 s later"


def test_parquet_and_csv_say_the_same(folder: Path) -> None:
    import pandas as pd

    pd.read_csv(folder / "windows.csv").to_parquet(folder / "windows.parquet")
    csv, parquet = traced(folder), traced(folder, file="windows.parquet")
    for at_s in (0.0, 12.0, 34.0, 41.0):
        assert csv.until_s(np.arange(3), at_s).tolist() == parquet.until_s(np.arange(3), at_s).tolist()
        assert csv.next_s(np.arange(3), at_s).tolist() == parquet.next_s(np.arange(3), at_s).tolist()


def test_devices_draw_their_clients_evenly_or_take_them_in_order(folder: Path) -> None:
    devices = np.arange(3000)
    drawn = traced(folder, count=3000, clients="drawn").until_s(devices, 8.0)
    in_order = traced(folder, count=3000).until_s(devices, 8.0)
    assert in_order[:6].tolist() == [10.0, 40.0, 8.0, 10.0, 40.0, 8.0]
    for until_s in (10.0, 40.0, 8.0):
        assert (drawn == until_s).mean() == pytest.approx(1 / 3, abs=3 * np.sqrt(2 / 9 / 3000))


def test_the_flash_trace_is_read_as_it_lies() -> None:
    trace = ORIGINALS / "availability_flash"
    if not trace.is_dir():
        pytest.skip("the recorded windows are not here")
    availability = {
        "name": "trace",
        "file": str(trace / "ready_windows.csv"),
        "observations": str(trace / "clients.csv"),
        "clients": "in_order",
    }
    there = presence(availability, count=710)
    devices = np.arange(710)
    share = there.present_s(devices, 0.0, 60 * DAY_S) / (60 * DAY_S)  # a multiple of 1 to 6 and 10 days
    assert share.mean() == pytest.approx(0.095, abs=0.0005), "the mean that its README gives"
    by_hour = [there.present_s(devices, h * HOUR_S, (h + 1) * HOUR_S).mean() / HOUR_S for h in range(24)]
    assert 2 <= int(np.argmax(by_hour)) <= 6, "phones charge at night"
