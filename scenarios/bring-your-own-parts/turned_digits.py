"""A data set of one's own: where the samples come from is up to `load`."""

from pathlib import Path

import numpy as np

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets.digits import Digits
from edgesim.registry import component
from edgesim.yaml_source import Count


@component
class TurnedDigits(Dataset):
    """Handwritten digits of clients who hold the paper differently: the i-th turns it by i quarters.

    Attributes:
        holders: how many natural clients there are, with equal shares.
    """

    holders: Count = 4

    def load(self, root: Path | None, download: bool) -> Data:
        """The digits that come with scikit-learn, turned; both arguments are without effect."""
        plain = Digits().load(root, download)
        clients = np.arange(len(plain.train_y)) % self.holders
        return Data(
            train_x=_turned(plain.train_x, clients),
            train_y=plain.train_y,
            test_x=_turned(plain.test_x, np.arange(len(plain.test_y)) % self.holders),
            test_y=plain.test_y,
            classes=plain.classes,
            clients=clients,
        )


def _turned(x: np.ndarray, quarters: np.ndarray) -> np.ndarray:
    """Images [n, 1, height, width], each turned by so many quarters."""
    return np.stack([np.rot90(image, turns, axes=(1, 2)) for image, turns in zip(x, quarters, strict=True)])
