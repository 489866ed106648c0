"""The values behind staleness, density, coverage and data split."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim.reports import figures
from edgesim.reports.figures import data_split
from tests.reports.figured import run, stale


def test_staleness_is_the_share_of_updates_that_missed_at_most_so_many_versions() -> None:
    frame = figures.figure("staleness").data([run("fresh"), stale("stale")])
    assert frame is not None
    rows = frame[["variant", "staleness", "updates", "share"]].to_numpy().tolist()
    assert rows == [["fresh", 0, 2, 1.0], ["stale", 0, 1, 0.5], ["stale", 1, 1, 1.0]]


def test_density_is_the_mean_over_the_updates_of_a_window() -> None:
    merged = {"updates": [3, 1], "time_s": [9.9, 10.0], "mean_density": [1.0, 0.2]}
    frame = figures.figure("density").data([run(aggregations=merged)])
    assert frame is not None
    (row,) = frame.to_dict("records")
    assert row["value"] == pytest.approx(0.8)
    assert (row["low"], row["high"], row["updates"]) == (0.2, 1.0, 4)


def test_coverage_is_of_all_merged_updates_and_tensors_count_by_their_elements() -> None:
    partly = {"mean_times": [1.0, 2.0], "least_times": [0, 2], "most_times": [2, 2]}
    frame = figures.figure("coverage").data([run(coverage=partly)])
    assert frame is not None
    (row,) = frame.to_dict("records")
    assert (row["value"], row["low"], row["high"]) == (pytest.approx((6 * 1 + 2 * 2) / 8 / 2), 0.0, 1.0)


def split(devices: int) -> dict[str, list[object]]:
    """Every third device is slow; device i holds i samples of label 0 and, if slow, one of label 2."""
    slow = range(0, devices, 3)
    return {
        "device": [*range(devices), *slow],
        "profile": ["slow" if device % 3 == 0 else "fast" for device in range(devices)]
        + ["slow"] * len(slow),
        "label": [0] * devices + [2] * len(slow),
        "samples": [*range(devices), *([1] * len(slow))],
    }


def test_devices_of_a_profile_stand_beside_each_other() -> None:
    frame = figures.figure("data_split").data([run(data_split=split(6))])
    assert frame is not None
    zero = frame[frame["label"] == 0]
    assert zero["first_device"].tolist() == [0, 3, 1, 2, 4, 5]
    assert zero["samples"].tolist() == [0, 3, 1, 2, 4, 5]
    assert frame.loc[frame["label"] == 2, "column"].tolist() == [0, 1]


def test_large_fleets_are_drawn_in_columns_of_neighbours_with_their_mean() -> None:
    frame = figures.figure("data_split").data([run(data_split=split(900))])
    assert frame is not None
    assert frame["column"].nunique() <= data_split.COLUMNS + 2
    first = frame[(frame["column"] == 0) & (frame["label"] == 0)].iloc[0]
    assert first["devices"] == 5
    assert first["samples"] == pytest.approx((0 + 3 + 6 + 9 + 12) / 5)
    assert (frame["samples"] * frame["devices"]).sum() == pytest.approx(sum(range(900)) + 300)


def test_variants_with_the_same_split_share_a_picture() -> None:
    frame = figures.figure("data_split").data([run("a"), run("b"), run("c", data_split=split(6))])
    assert frame is not None
    assert frame["split"].unique().tolist() == ["a, b", "c"]


def test_a_split_into_very_many_labels_is_not_drawn() -> None:
    labels = data_split.LABELS + 1
    many = {
        "device": [0] * labels,
        "profile": ["a"] * labels,
        "label": range(labels),
        "samples": [1] * labels,
    }
    assert figures.figure("data_split").data([run(data_split=many)]) is None


@pytest.mark.parametrize("name", ["learning_curve", "data_split"])
def test_the_same_figure_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        figures.save(figures.paint(name, [run()]), tmp_path / folder / name)
    for suffix in ("png", "svg"):
        first, second = (
            (tmp_path / folder / f"{name}.{suffix}").read_bytes() for folder in ("first", "second")
        )
        assert first == second
