"""A user's own samples: an `.npz` of NumPy arrays, or a CSV with one sample per line.

    dataset: {name: files, path: my.npz, client: who}                    arrays x, y, if wanted test_x, test_y
    dataset: {name: files, path: my.csv, label: activity, client: who}   every other column is a feature

The path is relative to the scenario. Samples are used as they are: nothing is scaled.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._csv import read_csv
from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._npz import read_npz
from edgesim.datasets._table import MAXIMUM_BYTES, Table, refuse
from edgesim.errors import InputError, Problem
from edgesim.registry import component
from edgesim.yaml_source import BesideScenario

TEST_SHARE = 0.2
LEAST = 5  # samples of a class of which at least one falls into the test set, and more than one does not

_READERS = {".npz": read_npz, ".csv": read_csv}
_LABEL = {".npz": "y", ".csv": "label"}


@component
class Files(Dataset):
    """Your own samples of any shape, with whole-numbered classes 0, 1, 2, ... and, if wanted, clients.

    Without test samples a fifth is held out, the same every time, with the classes in proportion.

    Attributes:
        path: the file, `.npz` or `.csv`.
        label: array or column of the classes; `y` of an `.npz` and `label` of a CSV where absent.
        client: array or column that says whose each sample is, by number or name.
    """

    path: BesideScenario
    label: str | None = None
    client: str | None = None

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Read the file; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: the file is not there, larger than 4 GiB, or not as described; with place and column.
        """
        kind = self.path.suffix.lower()
        if kind not in _READERS:
            raise InputError(
                Problem(f'must end in .npz or .csv, got "{self.path.name}"', path="dataset.path")
            )
        if not os.path.isfile(self.path):
            raise InputError(Problem(f"there is no file {self.path}", path="dataset.path"))
        if os.path.getsize(self.path) > MAXIMUM_BYTES:
            raise refuse(str(self.path), "", f"is larger than {MAXIMUM_BYTES >> 30} GiB; use fewer samples")
        label = self.label or _LABEL[kind]
        if self.client == label:
            raise InputError(
                Problem(f'is "{label}", which names the classes; choose another', path="dataset.client")
            )
        return _data(_READERS[kind](self.path, label, self.client))


def _data(table: Table) -> Data:
    classes = _classes(table)
    if table.test_x is not None and table.test_y is not None:
        return Data(table.x, table.y, table.test_x, table.test_y, classes, table.clients)
    test = _held_out(table, classes)
    clients = None if table.clients is None else table.clients[~test]
    return Data(table.x[~test], table.y[~test], table.x[test], table.y[test], classes, clients)


def _classes(table: Table) -> int:
    """How many classes there are.

    Raises:
        InputError: their numbers have gaps, or one stands among the test samples alone.
    """
    present = np.unique(table.y)
    gaps = np.flatnonzero(present != np.arange(present.size))
    if gaps.size:
        raise refuse(
            table.place,
            table.label,
            f"has no class {gaps[0]}, but class {present[-1]}; number the classes 0, 1, 2, ... without gaps",
        )
    foreign = np.setdiff1d(np.empty(0, np.int64) if table.test_y is None else table.test_y, present)
    if foreign.size:
        message = f"has class {foreign[0]}, of which there is no training sample; add some or leave it out"
        raise refuse(table.place, "test_y", message)
    return present.size


def _held_out(table: Table, classes: int) -> NDArray[np.bool_]:
    """Which samples are for testing: a fifth, drawn once and for all, with the classes in proportion.

    Raises:
        InputError: a class is too small to be split.
    """
    from sklearn.model_selection import train_test_split

    sizes = np.bincount(table.y, minlength=classes)
    if sizes.min() < LEAST:
        raise refuse(
            table.place,
            table.label,
            f"has {sizes.min()} of class {sizes.argmin()}, too few to hold out a fifth for testing; give at "
            f"least {LEAST} of each class, or an .npz with test_x and test_y",
        )
    _, test = train_test_split(
        np.arange(table.y.size), test_size=TEST_SHARE, random_state=0, stratify=table.y
    )
    held_out = np.zeros(table.y.size, dtype=bool)
    held_out[test] = True
    return held_out
