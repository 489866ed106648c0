"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): clothes, 60 000 training and 10 000 test samples."""

from __future__ import annotations

from pathlib import Path

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._idx import load_idx
from edgesim.datasets._papers import FASHION_MNIST
from edgesim.registry import component

UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
TRAIN_MEAN, TRAIN_STD = 0.2860, 0.3530


@component
class FashionMnist(Dataset):
    """Clothes of ten kinds, [1, 28, 28], normalised by the training set's mean and standard deviation."""

    papers = (FASHION_MNIST,)

    def load(self, root: Path | None, download: bool) -> Data:
        """Read the IDX files in `FashionMNIST/raw/`; see `Dataset.load`."""
        return load_idx("FashionMNIST", UNPACKED_MD5, TRAIN_MEAN, TRAIN_STD, root, download)
