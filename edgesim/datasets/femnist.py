"""FEMNIST (LEAF; Caldas et al. 2018): handwritten digits and letters, each writer a client.

    dataset: {name: femnist, path: leaf/data/femnist/data, partition: natural}

A user's own copy: the folder in which LEAF's `preprocess.sh` leaves `train/*.json` and `test/*.json`, each
with `user_data: {<writer>: {x: [[784 numbers], ...], y: [...]}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import Data, Dataset, standardised
from edgesim.datasets._files import read
from edgesim.datasets._table import as_float32, numbered, refuse, require
from edgesim.errors import InputError, Problem
from edgesim.papers import LEAF
from edgesim.registry import component
from edgesim.yaml_source import BesideScenario

CLASSES = 62  # ten digits, 26 capital and 26 small letters
SIDE = 28
_PREPROCESS = "LEAF's preprocess.sh -t sample (or -t user) writes train/*.json and test/*.json"


@component
class Femnist(Dataset):
    """Handwritten digits and letters, each writer a client: 62 classes, [1, 28, 28].

    Normalised by the training samples' mean and standard deviation.

    Test samples are as LEAF split them: of the same writers (`-t sample`), or of others (`-t user`).

    Attributes:
        path: the folder with `train` and `test`.
    """

    papers = (LEAF,)

    path: BesideScenario

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Read the JSON files; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: a folder is not there or a file is not as LEAF writes it.
        """
        pixels, train_y, writers = _split(self.path / "train")
        test_pixels, test_y, _ = _split(self.path / "test")
        train_x, test_x = standardised(pixels, test_pixels, axes=(0, 2, 3))
        return Data(train_x, train_y, test_x, test_y, CLASSES, clients=numbered(writers))


def _split(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]:
    """Pixels [n, 1, 28, 28], classes [n] and writers [n] of all files of a folder.

    Raises:
        InputError: see `Femnist.load`.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(Problem(f"there is no *.json in {folder}; {_PREPROCESS}", path="dataset.path"))
    x, y, writers = [], [], []
    for file in files:
        for writer, samples in _user_data(file).items():
            pixels, classes = _samples(str(file), f"user_data.{writer}", samples)
            x.append(pixels)
            y.append(classes)
            writers.append(np.full(classes.size, writer))
    return np.concatenate(x), np.concatenate(y), np.concatenate(writers)


def _user_data(file: Path) -> Mapping[str, Any]:
    place = str(file)
    try:
        content = json.loads(read(file))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise refuse(place, "", f"is no JSON: {error}; {_PREPROCESS}") from error
    require(place, ("user_data",), content if isinstance(content, dict) else (), "key")
    if not isinstance(content["user_data"], dict) or not content["user_data"]:
        raise refuse(place, "user_data", f"must map writers to their samples; {_PREPROCESS}")
    users: dict[str, Any] = content["user_data"]
    return users


def _samples(place: str, name: str, samples: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pixels [n, 1, 28, 28] and classes [n] of one writer."""
    require(place, ("x", "y"), samples if isinstance(samples, dict) else (), f"key in {name}")
    try:
        pixels, classes = as_float32(np.array(samples["x"], np.float64)), np.array(samples["y"])
    except (ValueError, TypeError) as error:
        raise refuse(place, f"{name}.x", f"must be {SIDE * SIDE} numbers a sample: {error}") from error
    if pixels.shape != (classes.size, SIDE * SIDE) or not np.isfinite(pixels).all():
        message = f"must be {SIDE * SIDE} finite numbers for each of the {classes.size} in y"
        raise refuse(place, f"{name}.x", f"{message}, but its shape is {pixels.shape}")
    if classes.dtype.kind != "i" or classes.min() < 0 or classes.max() >= CLASSES:
        raise refuse(place, f"{name}.y", f"must be classes from 0 to {CLASSES - 1}")
    return pixels.reshape(-1, 1, SIDE, SIDE), classes.astype(np.int64)
