"""The table of participation: who counts for how much in the model."""

from __future__ import annotations

import pandas as pd

from edgesim.results.participation import participation_table
from tests.results.golden_run import CONTEXT, table


def test_each_kind_of_device_has_a_row_with_its_share_of_the_updates() -> None:
    made = participation_table(table("dispatches"), CONTEXT.devices)
    pd.testing.assert_frame_equal(made, table("participation"))


def test_a_kind_that_was_never_asked_has_a_row_too() -> None:
    made = participation_table(table("dispatches"), {"fast": 2, "idle": 5}).set_index("profile")
    assert made.loc["idle", ["devices", "dispatches", "aggregated", "share"]].tolist() == [5, 0, 0, 0.0]
    assert pd.isna(made.loc["idle", "mean_density"])
