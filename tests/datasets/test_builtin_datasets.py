"""What is particular to each data set; what all have in common is in tests/contract/test_datasets.py."""

import numpy as np
import pytest

from edgesim.datasets._dataset import Data, normalised
from edgesim.datasets._idx import read_idx
from edgesim.datasets._partition import Natural
from edgesim.datasets.digits import Digits
from edgesim.datasets.mnist import WRITERS_MD5, Mnist
from edgesim.datasets.uci_har import TEST_PERSONS, UciHar, last_windows
from tests.originals import ORIGINALS


def load(dataset, folder):
    if not (ORIGINALS / folder).is_dir():
        pytest.skip(f"no originals of {folder} beside this checkout")
    return dataset.load(ORIGINALS, download=False)


def test_digits_need_no_files_and_have_a_fixed_stratified_split():
    data = Digits().load(None, download=False)
    assert (data.train_y.size, data.test_y.size, data.input_shape) == (1437, 360, (1, 8, 8))
    assert (data.train_x.min(), data.train_x.max()) == (0.0, 1.0)
    assert np.ptp(np.bincount(data.test_y)) <= 3
    again = Digits().load(None, download=False)
    assert np.array_equal(data.train_x, again.train_x)


def test_mnist_by_writer_has_539_of_them():
    data = load(Mnist(partition=Natural()), "mnist-writers")
    digits = np.bincount(np.unique(data.clients, return_inverse=True)[1])
    assert (digits.size, digits.min(), digits.max(), np.median(digits)) == (539, 19, 131, 116)


def test_the_writers_stand_in_the_order_of_the_images():
    path = ORIGINALS / "mnist-writers" / "qmnist-train-labels-idx2-int.gz"
    data = load(Mnist(), "mnist-writers")
    assert np.array_equal(read_idx(path, WRITERS_MD5[path.name])[:, 0], data.train_y)


def test_uci_har_has_30_persons_who_all_train():
    data = load(UciHar(), "uci-har")
    assert (data.train_y.size + data.test_y.size, data.input_shape) == (10_299, (9, 128))
    assert np.unique(data.clients).tolist() == list(range(1, 31))
    assert 0.19 < data.test_y.size / 10_299 < 0.2
    assert_is_normalised(data)


def test_uci_har_may_be_split_by_persons_as_it_was_published():
    data = load(UciHar(test="persons"), "uci-har")
    assert (data.train_y.size, data.test_y.size) == (7352, 2947)
    assert set(data.clients) == set(range(1, 31)) - set(TEST_PERSONS)
    assert_is_normalised(data)


def test_the_last_fifth_of_a_persons_windows_of_an_activity_is_held_out():
    person = np.repeat([1, 2], [12, 5])
    activity = np.array([0] * 10 + [1] * 2 + [0] * 5)
    assert np.flatnonzero(last_windows(person, activity)).tolist() == [8, 9, 16]


def assert_is_normalised(data: Data):
    assert data.train_x.mean((0, 2), dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert data.train_x.std((0, 2), dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_pixels_are_normalised_per_channel():
    pixels = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)  # one image, two channels of 1x2
    x = normalised(pixels, mean=(0.5, 0.2), std=(0.5, 0.1))
    assert x == pytest.approx(np.array([[[[-1, 1]], [[0, 2]]]]), abs=1e-6)
