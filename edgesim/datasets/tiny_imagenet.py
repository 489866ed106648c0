"""Tiny ImageNet (Stanford CS231n 2015), 20 of its 200 classes: 4 000 training and 1 000 test photographs.

The classes are every tenth in the order of their WordNet numbers, the training photographs the first 200 of
500 of a class, the test photographs Tiny ImageNet's validation set. ImageNet's terms: research and education.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._files import Publication, read_one
from edgesim.datasets._papers import IMAGENET, TINY_IMAGENET
from edgesim.datasets._photographs import photographs
from edgesim.registry import component

FILE = "tiny-imagenet-20.tar.xz"
MD5 = "7a0935c627fad3ad6b4b9f198c567396"
PUBLISHED = Publication(
    "Tiny ImageNet",
    "tiny-imagenet-20",
    (FILE,),
    packed="",
    fetched=False,
    about=f"edgesim cannot download {FILE} (md5 {MD5}); `imagenet100` reads folders of your own. ",
)
SIDE = 64
TRAIN_MEAN, TRAIN_STD = (0.4927, 0.4468, 0.3978), (0.2801, 0.2745, 0.2840)


@component
class TinyImagenet(Dataset):
    """Photographs of 20 classes, [3, 64, 64], normalised by mean and standard deviation of each channel."""

    papers = (TINY_IMAGENET, IMAGENET)

    def load(self, root: Path | None, download: bool) -> Data:
        """Read `tiny-imagenet-20/tiny-imagenet-20.tar.xz`; see `Dataset.load`. It cannot be downloaded."""
        raw = read_one(PUBLISHED, MD5, root, download)
        files: dict[str, list[tuple[str, BinaryIO]]] = {"train": [], "val": []}
        classes: dict[str, list[str]] = {"train": [], "val": []}
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:  # no folder
                    _, split, wnid, _ = PurePosixPath(member.name).parts
                    files[split].append((f"{FILE}: {member.name}", io.BytesIO(content.read())))
                    classes[split].append(wnid)
        names = sorted(set(classes["train"]))
        return Data(
            train_x=photographs(files["train"], SIDE, TRAIN_MEAN, TRAIN_STD),
            train_y=np.searchsorted(names, classes["train"]).astype(np.int64),
            test_x=photographs(files["val"], SIDE, TRAIN_MEAN, TRAIN_STD),
            test_y=np.searchsorted(names, classes["val"]).astype(np.int64),
            classes=len(names),
        )
