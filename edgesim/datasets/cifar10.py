"""CIFAR-10 (Krizhevsky 2009): small photographs, 50 000 training and 10 000 test samples.

Its files are pickles of Python 2. Each is unpickled only after its checksum matched torchvision's, and then
by an unpickler that knows how to make NumPy arrays and nothing else.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import Data, Dataset, normalised
from edgesim.datasets._files import Publication, find, read, unpack, verify
from edgesim.datasets._papers import CIFAR
from edgesim.errors import InputError, Problem
from edgesim.registry import component

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
PUBLISHED = Publication("CIFAR10", FOLDER, TRAIN + TEST, packed=".xz", archive=ARCHIVE)

TRAIN_MEAN, TRAIN_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@component
class Cifar10(Dataset):
    """Photographs of ten classes, [3, 32, 32], normalised by mean and standard deviation of each channel."""

    papers = (CIFAR,)

    def load(self, root: Path | None, download: bool) -> Data:
        """Read the batches in `cifar-10-batches-py/`, plain, `.xz` or in the archive; see `Dataset.load`."""
        from torchvision.datasets import CIFAR10

        contents = _contents(find(PUBLISHED, root, download), CIFAR10.tgz_md5)
        md5 = dict([*CIFAR10.train_list, *CIFAR10.test_list])
        pixels, labels = zip(*(read_batch(*contents[name], md5[name]) for name in TRAIN + TEST), strict=True)
        return Data(
            train_x=normalised(np.concatenate(pixels[:-1]), TRAIN_MEAN, TRAIN_STD),
            train_y=np.concatenate(labels[:-1]),
            test_x=normalised(pixels[-1], TRAIN_MEAN, TRAIN_STD),
            test_y=labels[-1],
            classes=10,
        )


def read_batch(content: bytes, place: str, md5: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [n, 3, 32, 32] and labels [n] of one unpacked batch.

    Args:
        content: the pickle.
        place: where it came from, for messages.
        md5: its checksum; nothing is unpickled before it matches.

    Raises:
        InputError: it is another file, or asks for anything but arrays.
    """
    verify(content, md5, place)
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise InputError(Problem(f"is refused: {error}", place=place)) from error
    return batch["data"].reshape(-1, 3, 32, 32), np.array(batch["labels"], dtype=np.int64)


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return _ALLOWED[module_name, global_name]


def _contents(found: Mapping[str, Path], archive_md5: str) -> dict[str, tuple[bytes, str]]:
    """Each batch unpacked, and where it came from."""
    somewhere = found[TEST[0]]
    if somewhere.name == ARCHIVE:
        return _from_archive(somewhere, archive_md5)
    return {name: (unpack(path, read(path)), str(path)) for name, path in found.items()}


def _from_archive(path: Path, md5: str) -> dict[str, tuple[bytes, str]]:
    raw = read(path)
    verify(raw, md5, str(path))
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for name in TRAIN + TEST:
            member = archive.extractfile(f"{FOLDER}/{name}")
            assert member is not None  # the published archive has them all
            contents[name] = member.read(), f"{path}: {name}"
    return contents
