"""What every data set is: its options, and a way to load the samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._partition import Iid, Partition
from edgesim.registry import component


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """The samples of a data set, split as its publisher splits them unless the data set says otherwise.

    Attributes:
        train_x: training samples, float32 [n, *shape].
        train_y: their classes, int64 [n].
        test_x: test samples, float32 [m, *shape].
        test_y: their classes, int64 [m].
        classes: number of classes.
        clients: natural client of each training sample, int64 [n]; null where not known or not asked for.
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: int
    clients: NDArray[np.int64] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train_x.shape[1:]


def normalised(pixels: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Images [n, channels, height, width] scaled to 0..1, less the channel's mean, over its deviation."""
    x = pixels.astype(np.float32)
    x /= 255
    x -= np.array(mean, np.float32)[:, None, None]
    x /= np.array(std, np.float32)[:, None, None]
    return x


@component
class Dataset(ABC):
    """A data set and how a fleet holds it.

    Attributes:
        partition: how the training samples are dealt to the clients.
        validation: share of the training samples that is held out from the clients.
    """

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
