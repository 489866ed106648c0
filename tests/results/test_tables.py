"""The tables of a run: kinds, order, unknown values, and how they lie on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from edgesim.results import tables
from tests.results.golden_run import COLUMNS, table


def test_columns_come_in_the_order_of_the_schema() -> None:
    given = COLUMNS["aggregations"]
    shuffled = {name: given[name] for name in reversed(list(given))}
    assert list(tables.frame("aggregations", shuffled)) == list(tables.SCHEMAS["aggregations"])


def test_what_is_unknown_stays_unknown_and_never_becomes_zero() -> None:
    dispatches = table("dispatches")
    assert dispatches["staleness"].dtype == "Int64"
    assert dispatches["staleness"].isna().tolist() == [False, True, True, False, True, True]
    assert np.isnan(dispatches["upload_s"].iloc[2])
    assert dispatches["cost_basis"].isna().tolist() == [False] * 5 + [True]


def test_counts_that_are_always_known_are_plain_integers() -> None:
    assert table("dispatches")["bytes_up"].dtype == np.int64
    assert table("dispatches", bytes_up=[2**62] * 6)["bytes_up"].iloc[0] == 2**62


def test_evaluations_take_further_metrics() -> None:
    evaluations = table("evaluations", train_loss=[2.2, None, 0.4])
    assert list(evaluations) == ["time_s", "version", "loss", "accuracy", "train_loss"]


def test_other_tables_refuse_a_column_that_they_do_not_have() -> None:
    with pytest.raises(ValueError, match='"byte_up" is no column of dispatches; did you mean "bytes_up"'):
        table("dispatches", byte_up=[0] * 6)


def test_a_column_may_not_be_missing() -> None:
    with pytest.raises(ValueError, match="coverage has no column layer, devices"):
        tables.frame("coverage", {"tensor": ["w"], "times_trained": [1]})


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_what_must_be_known_may_not_be_null(unknown: float | None) -> None:
    with pytest.raises(ValueError, match=r"aggregations\.time_s is unknown in row 1"):
        table("aggregations", time_s=[5.0, unknown])


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dispatches\.bytes_up holds what is no integer"):
        table("dispatches", bytes_up=[0.5] * 6)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"columns of aggregations differ in length: .*'version': 1"):
        table("aggregations", version=[1])


@pytest.mark.parametrize("name", tables.SCHEMAS)
def test_reading_gives_back_what_was_written(name: str, tmp_path: Path) -> None:
    tables.write(name, table(name), tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(tables.read(name, tmp_path / "table.parquet"), table(name))


@pytest.mark.parametrize("name", tables.SCHEMAS)
def test_a_table_without_rows_survives_too(name: str, tmp_path: Path) -> None:
    empty = tables.frame(name, {column: [] for column in tables.SCHEMAS[name]})
    tables.write(name, empty, tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(tables.read(name, tmp_path / "table.parquet"), empty)


def test_the_file_says_which_values_are_null_and_carries_no_metadata_of_a_host(tmp_path: Path) -> None:
    tables.write("dispatches", table("dispatches"), tmp_path / "table.parquet")
    found = pq.read_table(tmp_path / "table.parquet", partitioning=None)
    assert found.column("upload_s").null_count == 3
    assert not found.schema.field("dispatch").nullable
    assert found.schema.metadata is None


def test_a_file_of_another_table_is_refused(tmp_path: Path) -> None:
    tables.write("coverage", table("coverage"), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="aggregations has no column"):
        tables.read("aggregations", tmp_path / "table.parquet")
