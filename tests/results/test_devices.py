"""The table of devices, against the hand-computed one of the golden run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edgesim.results.devices import device_table
from tests.results.golden_run import table

THERE_S = np.array([10.0, 10.0, 10.0, 6.0, 10.0])
IDLE_W = np.array([2.0, 2.0, 2.0, 2.0, np.nan])


def devices(dispatches: pd.DataFrame, there_s: np.ndarray = THERE_S) -> pd.DataFrame:
    return device_table(dispatches, 10.0, IDLE_W, lambda devices: there_s[devices])


def test_the_golden_run_device_by_device() -> None:
    pd.testing.assert_frame_equal(devices(table("dispatches")), table("devices"))


def test_a_device_that_was_never_sent_out_has_no_row() -> None:
    assert 4 not in devices(table("dispatches"))["device"].tolist()


def test_joules_that_are_unknown_stay_unknown_and_never_become_zero() -> None:
    found = devices(table("dispatches", energy_j=[10.0, 30.0, None, 11.0, None, 3.0]))
    np.testing.assert_array_equal(found["energy_j"], [np.nan, 11.0, 30.0, np.nan])
    moved = devices(table("dispatches", device=[0, 2, 4, 1, 0, 0]), np.full(5, 10.0))
    np.testing.assert_array_equal(moved["idle_j"], [3.0, 11.0, 4.0, np.nan])


def test_a_pause_is_absence_and_no_work() -> None:
    dispatches = table("dispatches", paused_s=[0, 0, 0, 0, 2.0, 0])
    found = devices(dispatches, np.array([8.0, 10.0, 10.0, 6.0])).iloc[0]
    assert (found["busy_s"], found["idle_s"], found["absent_s"], found["paused_s"]) == (6.5, 1.5, 2.0, 2.0)


def test_rounding_leaves_no_negative_time() -> None:
    found = devices(table("dispatches"), np.array([8.5 - 1e-12, 10.0 + 1e-12, 10.0, 6.0]))
    assert found["idle_s"].iloc[0] == 0.0
    assert found["absent_s"].iloc[1] == 0.0


def test_nobody_was_sent_out() -> None:
    assert len(devices(table("dispatches").iloc[:0])) == 0


def test_busy_idle_and_absent_are_all_time() -> None:
    found = devices(table("dispatches"))
    assert found[["busy_s", "idle_s", "absent_s"]].sum(axis=1).tolist() == pytest.approx([10.0] * 4)
