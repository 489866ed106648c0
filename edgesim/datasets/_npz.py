"""Reading a user's `.npz`. Nothing is unpickled, and nothing is unpacked that is larger than allowed."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._table import MAXIMUM_BYTES, Table, as_float32, numbered, refuse, require

_DAMAGED = (  # what zipfile and NumPy were seen to raise for files with changed bytes
    *(OSError, EOFError, ValueError, TypeError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, SyntaxError, tokenize.TokenError),
)
_SAVE = "save it with numpy.savez"


def read_npz(path: Path, label: str, client: str | None) -> Table:
    """The arrays `x`, label, client, and `test_x` with `test_y` where there are such.

    Args:
        path: the file.
        label: name of the array of classes.
        client: name of the array that says whose each sample is; null for none.

    Raises:
        InputError: it is no such file, lacks an array, or one is not what it must be.
    """
    place = str(path)
    arrays = read_arrays(path, ("x", label, client), ("test_x", "test_y"))
    x = _samples(place, "x", arrays["x"])
    test_x = test_y = None
    if "test_x" in arrays:
        test_x = _samples(place, "test_x", arrays["test_x"])
        if test_x.shape[1:] != x.shape[1:]:
            message = (
                f"has samples of shape {test_x.shape[1:]}, but those of x are {x.shape[1:]}; they must agree"
            )
            raise refuse(place, "test_x", message)
        test_y = _labels(place, "test_y", arrays["test_y"], len(test_x))
    return Table(
        place=place,
        label=label,
        x=x,
        y=_labels(place, label, arrays[label], len(x)),
        clients=None if client is None else _clients(place, client, arrays[client], len(x)),
        test_x=test_x,
        test_y=test_y,
    )


def read_arrays(
    path: Path, needed: tuple[str | None, ...], optional: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """Arrays of a file by name; the optional ones all or none.

    Raises:
        InputError: see `read_npz`.
    """
    place = str(path)
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise refuse(place, "", f"is no .npz file ({error}); {_SAVE}") from error
    with archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = (*needed, *(optional if set(optional) & set(members) else ()))
        require(place, wanted, members, "array")
        names = [name for name in wanted if name is not None]
        if sum(members[name].file_size for name in names) > MAXIMUM_BYTES:
            raise refuse(place, "", f"unpacks to more than {MAXIMUM_BYTES >> 30} GiB; use fewer samples")
        return {name: _array(place, name, archive, members[name]) for name in names}


def _array(place: str, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    try:
        with archive.open(member) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except _DAMAGED as error:
        pickled = "allow_pickle" in str(error)
        reason = (
            "holds pickled Python objects, which are never loaded" if pickled else f"cannot be read ({error})"
        )
        raise refuse(place, name, f"{reason}; {_SAVE} as an array of numbers or text") from error
    return array


def _samples(place: str, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise refuse(place, name, f"must hold numbers, but its type is {array.dtype}; convert it to float32")
    if array.ndim < 2 or array.size == 0:
        message = f"must be [samples, features] or [samples, channels, ...], but its shape is {array.shape}"
        raise refuse(place, name, message)
    x = as_float32(array)
    bad = np.argwhere(~np.isfinite(x))
    if bad.size:
        index = tuple(int(part) for part in bad[0])
        message = f"holds {array[index]} at {list(index)}, no finite float32; replace it or drop the sample"
        raise refuse(place, name, message)
    return x


def _labels(place: str, name: str, array: NDArray[Any], samples: int) -> NDArray[np.int64]:
    if array.dtype.kind not in "iu":
        raise refuse(
            place, name, f"must hold whole numbers, but its type is {array.dtype}; convert it to int64"
        )
    _check_length(place, name, array, samples)
    if array.min() < 0:
        raise refuse(place, name, f"holds class {array.min()}; number the classes 0, 1, 2, ...")
    return array.astype(np.int64)


def _clients(place: str, name: str, array: NDArray[Any], samples: int) -> NDArray[np.int64]:
    if array.dtype.kind not in "iuUS":
        message = f"must hold whole numbers or text, but its type is {array.dtype}; convert it to int64"
        raise refuse(place, name, message)
    _check_length(place, name, array, samples)
    return numbered(array)


def _check_length(place: str, name: str, array: NDArray[Any], samples: int) -> None:
    if array.shape != (samples,):
        message = f"must have one entry for each of the {samples} samples, but its shape is {array.shape}"
        raise refuse(place, name, message)
