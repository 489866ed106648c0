"""Reading a user's CSV: a header line, then one sample per line. What is wrong is said with its line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._table import Table, as_float32, numbered, refuse, require
from edgesim.errors import InputError, cut_off, show_value

FIRST_LINE = 2  # of the first sample
BLOCK_BYTES = 1 << 24  # longer than any line

_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\w+): (.*)", re.DOTALL)
_LINE = re.compile(r"CSV parse error: Row #(\d+): (.*)", re.DOTALL)
_KINDS = {"double": "a number", "int64": "a whole number", "string": "text"}


def read_csv(path: Path, label: str, client: str | None) -> Table:
    """The columns of a CSV file: classes, clients, and all others as features in their order.

    Args:
        path: the file.
        label: name of the column of classes.
        client: name of the column that says whose each sample is; null for none.

    Raises:
        InputError: it is no such file, lacks a column, or a value is not what it must be.
    """
    import pyarrow as pa

    place = str(path)
    header = _header(path)
    require(place, (label, client), header, "column")
    features = [name for name in header if name not in (label, client)]
    if not features:
        raise refuse(place, "", f"has no columns of features beside {', '.join(header)}; add some")
    types = dict.fromkeys(features, pa.float64()) | {label: pa.int64()}
    if client is not None:
        types[client] = pa.string()
    columns = _columns(path, header, types)
    y = columns[label].to_numpy()
    negative = np.flatnonzero(y < 0)
    if negative.size:
        line = negative[0] + FIRST_LINE
        raise refuse(f"{place}:{line}", label, f"is class {y[negative[0]]}; number the classes 0, 1, 2, ...")
    clients = None if client is None else numbered(columns[client].to_numpy())
    return Table(place=place, label=label, x=_features(place, columns, features), y=y, clients=clients)


def _features(place: str, columns: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.float32]:
    """The columns of these names side by side, float32 [n, names].

    Raises:
        InputError: a value is not finite.
    """
    x = np.empty((len(columns[names[0]]), len(names)), dtype=np.float32)
    for index, name in enumerate(names):
        values = columns[name].to_numpy()
        x[:, index] = as_float32(values)
        bad = np.flatnonzero(~np.isfinite(x[:, index]))
        if bad.size:
            message = f"holds {values[bad[0]]}, no finite float32; replace it or drop the line"
            raise refuse(f"{place}:{bad[0] + FIRST_LINE}", name, message)
    return x


def _header(path: Path) -> list[str]:
    """Names of the columns.

    Raises:
        InputError: there are none, or two are called alike.
    """
    place = str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise refuse(place, "", f"cannot be read as text of comma-separated values: {error}") from error
    if not header:
        raise refuse(place, "", "is empty; it must start with a line that names its columns")
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise refuse(
            f"{place}:1", "", f"names {times} columns {show_value(name)}; rename or drop all but one"
        )
    return header


def _columns(path: Path, header: list[str], types: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of these types, as pyarrow has them, without a missing value.

    Raises:
        InputError: a value is missing or of another type, or a line has not as many as the header.
    """
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow

    # With threads, errors do not say the line.
    reading = arrow.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=header, skip_rows=1)
    try:
        table = arrow.read_csv(
            str(path),
            read_options=reading,
            parse_options=arrow.ParseOptions(ignore_empty_lines=False),
            convert_options=arrow.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True
            ),
        )
    except (ArrowInvalid, OSError) as error:
        raise _explain(str(path), header, str(error)) from error
    if table.num_rows == 0:
        raise refuse(str(path), "", "has a header and no samples; add some")
    columns = {name: table.column(name) for name in header}
    for name, column in columns.items():
        if column.null_count:
            line = int(np.argmax(column.is_null().to_numpy())) + FIRST_LINE
            raise refuse(f"{path}:{line}", name, "has no value; fill it in or drop the line")
    return columns


def _explain(place: str, header: list[str], text: str) -> InputError:
    """What pyarrow says, with the file's line and the column's name."""
    if found := _VALUE.fullmatch(text):
        column, line, kind, reason = found.groups()
        message = f"must be {_KINDS[kind]}, but is {cut_off(reason.removeprefix('invalid value '))}"
        return refuse(f"{place}:{line}", header[int(column)], message)
    if found := _LINE.fullmatch(text):
        line, reason = found.groups()
        return refuse(f"{place}:{line}", "", f"{cut_off(reason)}; one value for each column is needed")
    return refuse(place, "", f"cannot be read as comma-separated values: {cut_off(text)}")
