"""Columns of numbers from a user's table, CSV or Parquet. What is wrong is said with its line or row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, Problem, cut_off, did_you_mean, show_value

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet")
FIRST_LINE = 2  # of the first row of a CSV, behind its header


def read_columns(path: Path, names: Mapping[str, bool]) -> dict[str, NDArray[np.float64]]:
    """The columns of these names; others are ignored.

    Args:
        path: the file, of one of the kinds `TABLES`; a CSV has a header line.
        names: for each column whether it may lack values, which become nan.

    Raises:
        InputError: it cannot be read, lacks a column, or a value is missing or no finite number.
    """
    frame = _frame(path)
    return {name: _numbers(_column(frame, path, name), path, may_lack) for name, may_lack in names.items()}


def read_texts(path: Path, name: str) -> NDArray[np.str_]:
    """The column of this name as text.

    Raises:
        InputError: it cannot be read, lacks the column, or a value is missing.
    """
    column = _column(_frame(path), path, name)
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise refused(path, int(missing[0]), name, "is missing; correct it or drop the row")
    return column.astype(str).to_numpy(dtype=np.str_)


def _column(frame: pd.DataFrame, path: Path, name: str) -> pd.Series:
    columns = [str(column) for column in frame.columns]
    if name not in columns:
        known = cut_off(", ".join(columns)) or "none"
        message = f'has no column "{name}"{did_you_mean(name, columns)} (it has {known})'
        raise InputError(Problem(message, place=str(path)))
    return frame[name]


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise InputError(Problem("there is no such file; correct the path", place=str(path)))
    try:
        if _is_parquet(path):
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=str, skip_blank_lines=False, index_col=False)
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise for files that are none
        raise InputError(Problem(f"cannot be read: {cut_off(str(error))}", place=str(path))) from error


def _numbers(column: pd.Series, path: Path, may_lack: bool) -> NDArray[np.float64]:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    missing = column.isna().to_numpy()
    wrong = np.flatnonzero(~np.isfinite(numbers) & ~(missing if may_lack else False))
    if wrong.size:
        row = int(wrong[0])
        shown = "is missing" if missing[row] else f"is {show_value(column.iloc[row])}, no finite number"
        raise refused(path, row, str(column.name), f"{shown}; correct it or drop the row")
    return numbers


def refused(path: Path, row: int, column: str, message: str) -> InputError:
    """The error of one value; rows count from 0."""
    place = f"row {row}" if _is_parquet(path) else str(row + FIRST_LINE)
    return InputError(Problem(message, path=column, place=f"{path}:{place}"))


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"
