"""ImageNet-100 from a user's own copy of ImageNet (Deng et al. 2009): a hundred of its thousand classes.

    dataset: {name: imagenet100, path: imagenet-100}      imagenet-100/{train,val}/<wnid>/*.JPEG

Which hundred is up to the folders: there are as many classes as folders, in the order of their names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._papers import IMAGENET
from edgesim.datasets._photographs import photographs
from edgesim.errors import InputError, Problem, cut_off
from edgesim.registry import component
from edgesim.yaml_source import BesideScenario, Count

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of all of ImageNet
_LAYOUT = "the photographs must lie in train/<class>/*.JPEG and val/<class>/*.JPEG"


@component
class Imagenet100(Dataset):
    """Photographs of a hundred classes, a folder each, [3, side, side], from your own copy of ImageNet.

    Normalised by ImageNet's mean and standard deviation per channel.
    The middle square of each photograph, scaled. Everything is held in memory: 12 side^2 bytes a photograph,
    which is 43 GB for the 127 000 of ImageNet-100 at a side of 168, and twice that while samples are dealt.

    Attributes:
        path: the folder with `train` and `val`; the latter is for testing.
        side: pixels; 168 in FedGMR (algorithms 2, M8).
    """

    papers = (IMAGENET,)

    path: BesideScenario
    side: Count = 168

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Read the photographs; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: a folder is not there, the classes differ, or a file is no picture.
        """
        train, test = _photographs_of(self.path / "train"), _photographs_of(self.path / "val")
        odd = sorted(train.keys() ^ test.keys())
        if odd:
            message = (
                f"has the class {odd[0]} in one of train/ and val/ only; {_LAYOUT}, with the same classes"
            )
            raise InputError(Problem(message, place=str(self.path)))
        train_x, train_y = self._samples(train)
        test_x, test_y = self._samples(test)
        return Data(train_x, train_y, test_x, test_y, classes=len(train))

    def _samples(self, files: dict[str, list[Path]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        named = [(str(path), path) for of_class in files.values() for path in of_class]
        y = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
        return photographs(named, self.side, MEAN, STD), y


def _photographs_of(folder: Path) -> dict[str, list[Path]]:
    """The files of each class, classes and files in the order of their names.

    Raises:
        InputError: there are none, or a class has none.
    """
    if not folder.is_dir():
        raise InputError(Problem(f"there is no folder {folder}; {_LAYOUT}", path="dataset.path"))
    classes = sorted(inner for inner in folder.iterdir() if inner.is_dir())
    found = {inner.name: sorted(inner.glob("*.JPEG")) for inner in classes}
    empty = [name for name, files in found.items() if not files]
    if empty or not found:
        lacks = f"has no *.JPEG in {cut_off(', '.join(empty))}" if empty else "has no folders of classes"
        raise InputError(Problem(f"{lacks}; {_LAYOUT}", place=str(folder)))
    return found
