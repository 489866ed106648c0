"""The values behind the bars: which parts visits have, where time went, which devices are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from edgesim.reports import figures
from edgesim.reports.figures import device_timeline
from edgesim.reports.figures._rows import laid_out
from edgesim.reports.figures._scale import of_seconds
from edgesim.reports.figures._visits import bars, visits
from edgesim.reports.figures.phases import PARTS
from tests.reports.figured import run


def parts_of(dispatch: int) -> list[tuple[str, float, float, bool]]:
    found = bars(visits(run()))
    mine = found[found["dispatch"] == dispatch].drop(columns="dispatch")
    return list(mine.itertuples(index=False, name=None))


def test_a_visit_has_its_phases_one_after_another_and_then_waits_for_its_aggregation() -> None:
    assert parts_of(0) == [
        ("download", 0.0, 1.0, False),
        ("compute", 1.0, 2.0, False),
        ("upload", 3.0, 1.0, False),
        ("waiting", 4.0, 1.0, False),
    ]


def test_a_late_visit_waits_for_nothing() -> None:
    assert [part for part, *_ in parts_of(1)] == ["download", "compute", "upload"]


def test_what_is_cut_off_lasts_until_the_visit_or_the_run_ends() -> None:
    assert parts_of(4) == [("download", 5.0, 1.0, False), ("compute", 6.0, 1.5, True)]
    assert parts_of(5) == [("download", 8.0, 1.0, False), ("compute", 9.0, 1.0, True)]


def test_a_device_that_is_sent_out_again_waits_no_longer() -> None:
    again = run(dispatches={"dispatched_s": [0.0, 0.0, 0.0, 5.0, 4.5, 8.0]})
    assert visits(again)["waiting_s"].tolist() == [0.5, 0.0, 0.0, 0.5, 0.0, 0.0]


def test_the_parts_of_a_class_add_up_to_all_the_time_of_its_devices() -> None:
    frame = figures.figure("phases").data([run()])
    assert frame is not None
    rows = frame.set_index("profile")
    assert rows[[f"{part}_s" for part in PARTS]].sum(axis=1).to_dict() == pytest.approx(
        rows["total_s"].to_dict()
    )
    devices = {"fast": 2, "slow": 1, "tiny": 1}
    assert (rows["total_s"] * rows["visits"]).to_dict() == pytest.approx(
        {profile: 10.0 * count for profile, count in devices.items()}
    )


def test_seconds_per_visit_are_means_over_the_visits_of_a_class() -> None:
    frame = figures.figure("phases").data([run()])
    assert frame is not None
    fast = frame.set_index("profile").loc["fast"]
    assert fast["visits"] == 4
    shown = fast[["download_s", "compute_s", "upload_s", "cut_off_s", "waiting_s", "idle_s"]].tolist()
    assert shown == pytest.approx([4 / 4, 4.5 / 4, 2 / 4, 2.5 / 4, 1.5 / 4, (7 - 1.5) / 4])
    assert fast["work_s"] == pytest.approx(13 / 4)


def test_the_slowest_class_comes_first() -> None:
    frame = figures.figure("phases").data([run()])
    assert frame is not None
    assert frame["profile"].tolist() == ["slow", "fast", "tiny"]


def fleet(count: int, visits_each: int = 1) -> pd.DataFrame:
    """Dispatches of a fleet whose device i works i + 1 seconds."""
    rows = [(device, visit) for visit in range(visits_each) for device in range(count)]
    return pd.DataFrame(
        {
            "dispatch": range(len(rows)),
            "device": [device for device, _ in rows],
            "visit": [visit for _, visit in rows],
            "profile": "board",
            "submodel": "full",
            "density": 1.0,
            "kept": 1.0,
            "base_version": 0,
            "staleness": 0,
            "dispatched_s": [1000.0 * visit for _, visit in rows],
            "download_s": 0.0,
            "compute_s": [device + 1.0 for device, _ in rows],
            "upload_s": 0.0,
            "paused_s": 0.0,
            "finished_s": [1000.0 * visit + device + 1 for device, visit in rows],
            "outcome": "aggregated",
            "bytes_down": 0,
            "bytes_up": 0,
            "train_flops": 0,
            "energy_j": 0.0,
            "train_loss": 1.0,
            "cost_basis": "measured",
        }
    )


def test_of_many_devices_some_are_shown_evenly_from_the_slowest_to_the_fastest() -> None:
    frame = figures.figure("device_timeline").data([run(dispatches=dict(fleet(118)))])
    assert frame is not None
    shown = list(dict.fromkeys(frame["device"]))
    assert shown == list(range(117, -1, -3))
    assert frame[["devices", "shown"]].drop_duplicates().to_numpy().tolist() == [
        [118, device_timeline.DEVICES]
    ]


def test_the_same_devices_are_shown_of_every_variant() -> None:
    runs = [run(name, dispatches=dict(fleet(100))) for name in "ab"]
    frame = figures.figure("device_timeline").data(runs)
    assert frame is not None
    devices = frame.groupby("variant")["device"].unique().map(list)
    assert devices["a"] == devices["b"]
    assert len(devices["a"]) == device_timeline.DEVICES // 2


def test_a_long_run_is_drawn_up_to_so_many_visits_and_says_so() -> None:
    long = run(
        dispatches=dict(fleet(10, visits_each=200)),
        evaluations={"time_s": [0.0, 5.0, 200_000.0]},
    )
    frame = figures.figure("device_timeline").data([long])
    assert frame is not None
    assert frame["dispatch"].nunique() <= device_timeline.VISITS
    assert frame["until_s"].unique().tolist() == [100_000.0]
    assert "the first 1 d 4 h of 2 d 8 h" in figures.draw("device_timeline", [long]).layout.xaxis.title.text


def test_rows_stand_below_the_headings_of_their_levels() -> None:
    frame = pd.DataFrame({"run": ["a", "a", "b"], "device": [1, 2, 1], "label": ["#1", "#2", "#1"]})
    rows = laid_out(frame, ["run", "device"], "label")
    assert rows.headings == [(0, "a", 0), (3, "b", 0)]
    assert rows.place == {("a", "1"): 1, ("a", "2"): 2, ("b", "1"): 4}
    assert rows.length == 5


@pytest.mark.parametrize(
    ("longest_s", "unit"),
    [(0.0, "ms"), (0.9, "ms"), (1.0, "s"), (119.0, "s"), (120.0, "min"), (7200.0, "h"), (172_800.0, "d")],
)
def test_axes_of_time_have_a_unit_that_fits(longest_s: float, unit: str) -> None:
    assert of_seconds(longest_s).unit == unit
