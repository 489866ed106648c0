"""The table of the data split: which device holds how many samples of which label."""

from __future__ import annotations

import numpy as np
import pytest

from edgesim.results.data_split import MOST_DEVICES, data_split_table

LABELS = np.array([0, 1, 1, 2, 0, 1])


def test_samples_are_counted_by_device_and_label_and_what_is_not_there_has_no_row() -> None:
    shards = [np.array([0, 4, 1]), np.array([], dtype=np.int64), np.array([3, 2, 5])]
    made = data_split_table(["fast", "fast", "slow"].__getitem__, shards, LABELS)
    assert made is not None
    assert made.to_dict("list") == {
        "device": [0, 0, 2, 2],
        "profile": ["fast", "fast", "slow", "slow"],
        "label": [0, 1, 1, 2],
        "samples": [2, 1, 2, 1],
    }


def test_devices_that_share_a_shard_each_hold_its_samples() -> None:
    made = data_split_table("ab".__getitem__, [np.array([0, 1])] * 2, LABELS)
    assert made is not None
    assert made["samples"].sum() == 4


@pytest.mark.parametrize(
    ("labels", "devices"),
    [(np.zeros((6, 4), dtype=np.int64), 2), (LABELS, MOST_DEVICES + 1)],
    ids=["a label for each position", "too large a fleet"],
)
def test_some_runs_have_no_such_table(labels: np.ndarray, devices: int) -> None:
    assert data_split_table(str, [np.array([0])] * devices, labels) is None
