"""What every data set is: its options, and a way to load the samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._partition import Iid, Partition
from edgesim.papers import Paper
from edgesim.registry import component

Inputs: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]
"""Numbers, float32 [n, *shape], float64 where theory wants more digits, or tokens, int64 [n, length]."""

HELD_OUT = 5
"""One in so many samples is for testing, where the publisher has no test set."""

IGNORED = -100
"""Where a sequence of classes asks for no prediction; what PyTorch's cross entropy ignores."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """The samples of a data set, split as its publisher splits them unless the data set says otherwise.

    Samples are numbers, float32, or tokens, int64. What is predicted from tokens are tokens, so that
    `classes` is the size of the vocabulary, too: every token is less.

    Attributes:
        train_x: training samples, float32 [n, *shape] or int64 [n, length].
        train_y: their classes, int64 [n], or one for each token, int64 [n, length], with -100 (`IGNORED`)
            where nothing is predicted.
        test_x: test samples, as `train_x`, [m, ...].
        test_y: their classes, as `train_y`, [m, ...].
        classes: number of classes.
        clients: natural client of each training sample, int64 [n]; null where not known or not asked for.
        optimum: where the mean loss of the test samples is least, float64 [parameters], in the order of the
            model's parameters; null where nobody knows.
        start: the parameters to begin with, float64 [parameters]; null where the model draws them.
    """

    train_x: Inputs
    train_y: NDArray[np.int64]
    test_x: Inputs
    test_y: NDArray[np.int64]
    classes: int
    clients: NDArray[np.int64] | None = None
    optimum: NDArray[np.float64] | None = None
    start: NDArray[np.float64] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train_x.shape[1:]


def standardised(
    train_x: NDArray[np.float32], test_x: NDArray[np.float32], axes: tuple[int, ...] = (0,)
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Training and test samples less the training samples' mean, over their deviation, along these axes.

    What is missing (NaN) becomes 0, the mean of the training samples, and so does what never varies among
    them.
    """
    mean = np.nanmean(train_x, axes, dtype=np.float64, keepdims=True).astype(np.float32)
    std = np.nanstd(train_x, axes, dtype=np.float64, keepdims=True).astype(np.float32)
    scale = np.where(std == 0, np.float32(np.inf), std)
    return np.nan_to_num((train_x - mean) / scale), np.nan_to_num((test_x - mean) / scale)


def normalised(pixels: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Images [n, channels, height, width] scaled to 0..1, less the channel's mean, over its deviation."""
    x = pixels.astype(np.float32)
    x /= 255
    x -= np.array(mean, np.float32)[:, None, None]
    x /= np.array(std, np.float32)[:, None, None]
    return x


def last_fifth(person: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each sample is in the last fifth, rounded down, of its person's of its class, bool [n]."""
    held_out = np.zeros(person.size, dtype=bool)
    for somebody in np.unique(person):
        for something in np.unique(label):
            samples = np.flatnonzero((person == somebody) & (label == something))
            held_out[samples[samples.size - samples.size // HELD_OUT :]] = True
    return held_out


@component
class Dataset(ABC):
    """A data set and how a fleet holds it.

    Attributes:
        partition: how the training samples are dealt to the clients.
        validation: share of the training samples that is held out from the clients.

    Claims:
        functions: its samples are functions of the model's parameters, with nothing to predict.
        papers: by which the data are cited.
    """

    functions: ClassVar[bool] = False
    papers: ClassVar[tuple[Paper, ...]] = ()

    partition: Partition = Iid()
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @abstractmethod
    def load(self, root: Path | None, download: bool) -> Data:
        """Read the samples; nothing is written unless `download` is true and they are not there yet.

        Args:
            root: folder that is searched before those of the environment variable EDGESIM_DATA.
            download: whether missing files may be fetched, into `root` or the first folder of EDGESIM_DATA.

        Raises:
            InputError: the files are not there, or not the published ones.
            RunFailed: the download failed.
        """
