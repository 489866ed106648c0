"""MNIST and the data sets that are published in its form: grey images of 28x28 pixels in IDX files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._dataset import Data, normalised
from edgesim.datasets._files import Publication, find, read, unpack, verify

PACKED = ".gz"


def load_idx(
    title: str,
    unpacked_md5: Mapping[str, str],
    mean: float,
    std: float,
    root: Path | None,
    download: bool,
    clients: NDArray[np.int64] | None = None,
) -> Data:
    """A data set in MNIST's form, brightness from 0 to 1 and then normalised.

    Args:
        title: name of torchvision's class, which knows the checksums of the packed files.
        unpacked_md5: checksum of each file when it is unpacked, by name.
        mean: of the training brightness.
        std: of the training brightness.
        root: see `Dataset.load`.
        download: see `Dataset.load`.
        clients: natural client of each training sample, if known.

    Raises:
        InputError: the files are not there, or not the published ones.
        RunFailed: the download failed.
    """
    import torchvision.datasets

    published = Publication(title, f"{title}/raw", tuple(unpacked_md5), PACKED)
    found = find(published, root, download)
    md5 = {**unpacked_md5, **dict(getattr(torchvision.datasets, title).resources)}
    arrays = {name: read_idx(path, md5[path.name]) for name, path in found.items()}
    return Data(
        train_x=normalised(arrays["train-images-idx3-ubyte"][:, None], [mean], [std]),
        train_y=arrays["train-labels-idx1-ubyte"].astype(np.int64),
        test_x=normalised(arrays["t10k-images-idx3-ubyte"][:, None], [mean], [std]),
        test_y=arrays["t10k-labels-idx1-ubyte"].astype(np.int64),
        classes=10,
        clients=clients,
    )


def read_idx(path: Path, md5: str) -> NDArray[Any]:
    """The array of an IDX file, plain or packed, in the file's own number type.

    Args:
        path: the file.
        md5: its checksum as it lies there; nothing is unpacked or read before it matches.

    Raises:
        InputError: the file cannot be read, or is not the published one.
    """
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    raw = read(path)
    verify(raw, md5, str(path))
    # torchvision reads by name only, and the folder of the original may be read-only.
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "idx"
        plain.write_bytes(unpack(path, raw))
        array: NDArray[Any] = read_sn3_pascalvincent_tensor(str(plain)).numpy()
    return array
