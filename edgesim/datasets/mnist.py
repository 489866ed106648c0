"""MNIST (LeCun, Cortes, Burges 1998): handwritten digits, 60 000 training and 10 000 test samples."""

from __future__ import annotations

from pathlib import Path

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._idx import load_idx
from edgesim.registry import component

UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TRAIN_MEAN, TRAIN_STD = 0.1307, 0.3081


@component
class Mnist(Dataset):
    """Ten classes, [1, 28, 28], normalised by the training set's mean and standard deviation."""

    def load(self, root: Path | None, download: bool) -> Data:
        """Read the IDX files in `MNIST/raw/`; see `Dataset.load`."""
        return load_idx("MNIST", UNPACKED_MD5, TRAIN_MEAN, TRAIN_STD, root, download)
