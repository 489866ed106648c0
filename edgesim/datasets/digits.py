"""Handwritten digits of 8x8 pixels, shipped with scikit-learn: 1797 samples that need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._papers import DIGITS
from edgesim.registry import component

TEST_SAMPLES = 360
BRIGHTEST = 16


@component
class Digits(Dataset):
    """Handwritten digits, [1, 8, 8], brightness from 0 to 1; always the same stratified split 1437 / 360."""

    papers = (DIGITS,)

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Both arguments are without effect; see `Dataset.load`."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        published = load_digits()
        x = (published.images[:, None] / BRIGHTEST).astype(np.float32)
        y = published.target.astype(np.int64)
        train_x, test_x, train_y, test_y = train_test_split(
            x, y, test_size=TEST_SAMPLES, random_state=0, stratify=y
        )
        return Data(train_x, train_y, test_x, test_y, classes=10)
