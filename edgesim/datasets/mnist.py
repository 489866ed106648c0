"""MNIST (LeCun, Cortes, Burges 1998): handwritten digits, 60 000 training and 10 000 test samples.

Who wrote a digit is known from QMNIST (Yadav, Bottou 2019), whose training labels are those of MNIST's images
in their order. That makes the partition `natural`: one writer, one client.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._files import Publication, find
from edgesim.datasets._idx import PACKED, load_idx, read_idx
from edgesim.datasets._papers import MNIST, QMNIST
from edgesim.datasets._partition import Natural
from edgesim.registry import component

UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TRAIN_MEAN, TRAIN_STD = 0.1307, 0.3081

WRITERS = "qmnist-train-labels-idx2-int"
WRITERS_MD5 = {
    WRITERS: "1d43300e7f41ddcbf7fd006cbe865af9",
    f"{WRITERS}{PACKED}": "0058f8dd561b90ffdd0f734c6a30e5e4",
}
PUBLISHED_WRITERS = Publication(
    "QMNIST",
    "QMNIST/raw",
    (WRITERS,),
    PACKED,
    archive=f"{WRITERS}{PACKED}",
    about="They say who wrote each digit, which the partition natural goes by. ",
)
WRITER_COLUMN = 2  # of class, NIST series, writer, number of the writer's digit, ...


@component
class Mnist(Dataset):
    """Handwritten digits of 539 writers, [1, 28, 28], normalised by the training samples."""

    papers = (MNIST, QMNIST)

    def load(self, root: Path | None, download: bool) -> Data:
        """Read the IDX files in `MNIST/raw/`, and those of the writers if asked for; see `Dataset.load`."""
        clients = read_writers(root, download) if isinstance(self.partition, Natural) else None
        return load_idx("MNIST", UNPACKED_MD5, TRAIN_MEAN, TRAIN_STD, root, download, clients)


def read_writers(root: Path | None, download: bool) -> NDArray[np.int64]:
    """Writer of each training image, int64 [60000]; see `Dataset.load`."""
    path = find(PUBLISHED_WRITERS, root, download)[WRITERS]
    return read_idx(path, WRITERS_MD5[path.name])[:, WRITER_COLUMN].astype(np.int64)
