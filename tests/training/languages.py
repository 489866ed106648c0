"""A language that is learnt in seconds: each token is followed by the next one, as in an alphabet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgesim.datasets._dataset import Data, Dataset
from edgesim.registry import component

VOCABULARY, LENGTH, IGNORED = 8, 5, -100


@component
class Alphabet(Dataset):
    """Runs of tokens that start anywhere; four clients.

    Attributes:
        everywhere: whether there is a label per position, the first of which is to be ignored.
        numbers: whether the tokens are written as numbers.
    """

    everywhere: bool = False
    numbers: bool = False

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        starts = np.random.default_rng(0).integers(VOCABULARY, size=(240, 1))
        text = (starts + np.arange(LENGTH + 1)) % VOCABULARY
        x, y = text[:, :-1], text[:, 1:].copy()
        y[:, 0] = IGNORED
        x, y = x.astype(np.float32) if self.numbers else x, y if self.everywhere else y[:, -1]
        return Data(x[:200], y[:200], x[200:], y[200:], VOCABULARY, clients=np.arange(200) % 4)
