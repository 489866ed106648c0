"""Originals are read as they lie, and nothing but the published bytes is accepted."""

import gzip
import hashlib
import importlib
import io
import lzma
import os
import pickle
import tarfile

import numpy as np
import pytest

from edgesim.datasets import cifar10
from edgesim.datasets._files import Publication, find, read, unpack, verify
from edgesim.datasets._idx import read_idx
from edgesim.datasets._partition import Natural
from edgesim.datasets.cifar10 import Cifar10, read_batch
from edgesim.datasets.fashion_mnist import FashionMnist
from edgesim.datasets.mnist import Mnist
from edgesim.datasets.shakespeare import Shakespeare
from edgesim.datasets.tiny_imagenet import TinyImagenet
from edgesim.datasets.uci_har import UciHar
from edgesim.datasets.wisdm import Wisdm
from edgesim.errors import InputError, RunFailed

# Two images of 2x3 pixels: magic (unsigned bytes, 3 dimensions), the three sizes, the pixels.
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(12)])
UNFETCHED = [UciHar(), Wisdm(), Shakespeare(), TinyImagenet()]
THINGS = Publication("Things", "Things/raw", ("a", "b"), packed=".gz", archive="things.tar.gz")


def md5(content):
    return hashlib.md5(content).hexdigest()


def write(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("EDGESIM_DATA", raising=False)


@pytest.mark.parametrize(("name", "pack"), [("images", bytes), ("images.gz", gzip.compress)])
def test_an_idx_file_is_read_plain_or_packed(tmp_path, name, pack):
    path = write(tmp_path / name, pack(IDX))
    array = read_idx(path, md5(path.read_bytes()))
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_a_wrong_checksum_names_the_file_what_it_has_and_what_was_expected(tmp_path):
    path = write(tmp_path / "images", IDX[:-1] + b"\xff")
    with pytest.raises(InputError) as caught:
        read_idx(path, md5(IDX))
    assert all(part in str(caught.value) for part in (str(path), md5(path.read_bytes()), md5(IDX)))


@pytest.mark.parametrize("name", ["a.gz", "a.xz"])
def test_a_damaged_archive_is_an_input_error(tmp_path, name):
    whole = {"a.gz": gzip.compress, "a.xz": lzma.compress}[name](IDX)
    for raw in (b"nonsense", whole[: len(whole) // 2], whole[:20] + b"\0" + whole[21:]):
        with pytest.raises(InputError, match="cannot be unpacked"):
            unpack(tmp_path / name, raw)


def test_what_cannot_be_read_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read(tmp_path)


def pickled(module_name, global_name):
    """A pickle of protocol 0 that would call a function with the argument `true`."""
    return f"c{module_name}\n{global_name}\n(S'true'\ntR.".encode()


@pytest.mark.parametrize("target", [("os", "system"), ("builtins", "eval"), ("numpy", "load")])
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_though_its_checksum_is_right(target):
    content = pickled(*target)
    with pytest.raises(InputError, match=rf"data_batch_1: is refused: it asks for {target[0]}\.{target[1]}"):
        read_batch(content, "data_batch_1", md5(content))


def test_nothing_is_unpickled_before_its_checksum_matched():
    with pytest.raises(InputError, match=r"has md5 \w{32}, expected 0123"):
        read_batch(pickled("os", "system"), "data_batch_1", "0123")


def python2_batch(pixels, labels):
    """A batch as CIFAR-10 has it: NumPy's old module names (protocol 2, to which 3 only adds bytes)."""
    content = pickle.dumps({"data": pixels, "labels": labels}, protocol=3)
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_a_batch_holds_planar_pixels_and_labels():
    pixels = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    content = python2_batch(pixels, [3, 9])
    images, labels = read_batch(content, "batch", md5(content))
    assert images.shape == (2, 3, 32, 32)
    assert images[1, 2, 31, 31] == pixels[1, 3071]
    assert labels.tolist() == [3, 9]
    assert labels.dtype == np.int64


def test_batches_are_taken_from_the_archive_as_they_are_from_files(tmp_path):
    names = cifar10.TRAIN + cifar10.TEST
    for name in names:
        write(tmp_path / "files" / cifar10.FOLDER / f"{name}.xz", lzma.compress(name.encode()))
    archive = tmp_path / "packed" / cifar10.ARCHIVE
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    for place in ("files", "packed"):
        found = find(cifar10.PUBLISHED, tmp_path / place, download=False)
        contents = cifar10._contents(found, md5(archive.read_bytes()))
        assert {name: content for name, (content, _) in contents.items()} == {n: n.encode() for n in names}


def test_an_archive_of_batches_is_opened_only_after_its_checksum_matched(tmp_path):
    write(tmp_path / cifar10.ARCHIVE, b"nonsense")
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz: has md5 \w{32}, expected c58f30108f71"):
        Cifar10().load(tmp_path, download=False)


def test_files_are_found_below_the_root_and_below_its_folders(tmp_path):
    for base in (tmp_path / "one", tmp_path / "two" / "things"):
        write(base / "Things/raw/a")
        write(base / "Things/raw/b.gz")
        root = tmp_path / base.relative_to(tmp_path).parts[0]
        found = find(THINGS, root, download=False)
        assert found == {"a": base / "Things/raw/a", "b": base / "Things/raw/b.gz"}


def test_the_root_is_searched_before_the_folders_of_the_environment(tmp_path, monkeypatch):
    for folder in ("root", "second"):
        for name in "ab":
            write(tmp_path / folder / "Things/raw" / name)
    monkeypatch.setenv(
        "EDGESIM_DATA", os.pathsep.join(str(tmp_path / folder) for folder in ("first", "second"))
    )
    assert find(THINGS, tmp_path / "root", download=False)["a"] == tmp_path / "root/Things/raw/a"
    assert find(THINGS, None, download=False)["a"] == tmp_path / "second/Things/raw/a"


def test_a_folder_that_lacks_a_file_does_not_hide_a_whole_one(tmp_path):
    write(tmp_path / "Things/raw/a")
    for name in "ab":
        write(tmp_path / "whole/Things/raw" / name)
    assert find(THINGS, tmp_path, download=False)["a"] == tmp_path / "whole/Things/raw/a"


def test_absent_files_are_listed_with_their_place_and_the_flag(tmp_path):
    write(tmp_path / "Things/raw/a")
    with pytest.raises(InputError) as caught:
        find(THINGS, tmp_path, download=False)
    assert str(caught.value) == (
        f"dataset: the files of Things are not in {tmp_path}; {tmp_path}/Things/raw lacks b. Put a, b "
        "(plain or .gz) into Things/raw/ below a data folder, or things.tar.gz beside that folder, "
        "or run with --download"
    )


@pytest.mark.parametrize("dataset", [Mnist(), FashionMnist(), Cifar10(), *UNFETCHED])
@pytest.mark.parametrize("download", [False, True])
def test_without_any_folder_the_user_is_told_how_to_give_one(dataset, download):
    with pytest.raises(InputError, match="set data_root, or the environment variable EDGESIM_DATA"):
        dataset.load(None, download)


def test_writers_that_are_absent_are_explained(tmp_path):
    with pytest.raises(InputError) as caught:
        Mnist(partition=Natural()).load(tmp_path, download=False)
    assert str(caught.value) == (
        f"dataset: the files of QMNIST are not in {tmp_path}. They say who wrote each digit, which the "
        "partition natural goes by. Put qmnist-train-labels-idx2-int (plain or .gz) into QMNIST/raw/ below a "
        "data folder, or qmnist-train-labels-idx2-int.gz beside that folder, or run with --download"
    )


def test_what_cannot_be_downloaded_is_said_so(tmp_path):
    with pytest.raises(InputError) as caught:
        UciHar().load(tmp_path, download=True)
    assert str(caught.value) == (
        f"dataset: the files of UCI HAR are not in {tmp_path}. edgesim cannot download uci_har_inertial.npz "
        "(md5 a4cc431105a724d15656a0871833d70a); the data set `files` reads windows of your own. Put "
        "uci_har_inertial.npz into uci-har/ below a data folder"
    )


@pytest.mark.parametrize("dataset", UNFETCHED)
def test_another_file_of_that_name_is_refused(dataset, tmp_path):
    published = importlib.import_module(type(dataset).__module__).PUBLISHED
    (name,) = published.names
    write(tmp_path / published.folder / name, b"another")
    with pytest.raises(InputError, match=rf"{name}: has md5 {md5(b'another')}, expected "):
        dataset.load(tmp_path, download=False)


def test_a_download_that_fails_fails_the_run(tmp_path):
    root = write(tmp_path / "a file, not a folder")
    with pytest.raises(RunFailed, match=r"the download of MNIST into .* failed: .*Not a directory"):
        Mnist().load(root, download=True)


def test_content_with_the_right_checksum_passes():
    verify(IDX, md5(IDX), "images")
