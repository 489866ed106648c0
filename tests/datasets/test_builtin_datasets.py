"""What is particular to each data set; what all have in common is in tests/contract/test_datasets.py."""

import numpy as np
import pytest

from edgesim.datasets._dataset import Data, last_fifth, normalised, standardised
from edgesim.datasets._idx import read_idx
from edgesim.datasets._partition import Natural
from edgesim.datasets.digits import Digits
from edgesim.datasets.mnist import WRITERS_MD5, Mnist
from edgesim.datasets.shakespeare import Shakespeare, speeches
from edgesim.datasets.tiny_imagenet import TinyImagenet
from edgesim.datasets.uci_har import TEST_PERSONS, UciHar
from edgesim.datasets.wisdm import Wisdm
from edgesim.errors import InputError
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


def test_the_last_fifth_of_a_persons_samples_of_a_class_is_held_out():
    person = np.repeat([1, 2], [12, 5])
    activity = np.array([0] * 10 + [1] * 2 + [0] * 5)
    assert np.flatnonzero(last_fifth(person, activity)).tolist() == [8, 9, 16]


def assert_is_normalised(data: Data):
    assert data.train_x.mean((0, 2), dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert data.train_x.std((0, 2), dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_pixels_are_normalised_per_channel():
    pixels = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)  # one image, two channels of 1x2
    x = normalised(pixels, mean=(0.5, 0.2), std=(0.5, 0.1))
    assert x == pytest.approx(np.array([[[[-1, 1]], [[0, 2]]]]), abs=1e-6)


def test_samples_are_standardised_by_the_training_samples_alone():
    train, test = np.array([[1.0, 5, 4], [3, 5, np.nan]]), np.array([[5.0, 7, np.nan]])
    train_x, test_x = standardised(train, test)  # means 2, 5, 4; deviations 1, none, none
    assert train_x.tolist() == [[-1, 0, 0], [1, 0, 0]]
    assert test_x.tolist() == [[3, 0, 0]]


def test_a_speech_is_a_paragraph_under_its_role():
    text = "ADA:\nO!\nAh:\n\nBEA:\nNo.\n\nADA:\n\n\nADA:\nWell.\n"
    assert speeches(text) == {"ADA": "O!\nAh:\nWell.", "BEA": "No."}


def test_shakespeares_roles_are_cut_by_time_and_tell_the_next_of_65_characters():
    every = load(Shakespeare(stride=1), "shakespeare")
    assert (every.classes, every.input_shape, np.unique(every.clients).size) == (65, (80,), 141)
    first, text = every.clients == 0, (ORIGINALS / "shakespeare/input.txt").read_text()
    said = speeches(text)["First Citizen"]
    characters = np.array(sorted(set(text)))
    seen = "".join(characters[every.train_x[first][0]]), characters[every.train_y[first][0]]
    assert seen == (said[:80], said[80])
    last = "".join(characters[every.train_x[first][-1]]) + characters[every.train_y[first][-1]]
    cut = len(said) - len(said) // 5
    assert last == said[cut - 81 : cut]
    assert "".join(characters[every.test_x[0]]) == said[cut : cut + 80]
    # Of each role four fifths less 80 characters, and every tenth of these.
    assert first.sum() == cut - 80
    assert load(Shakespeare(), "shakespeare").train_y.size == pytest.approx(every.train_y.size / 10, rel=1e-3)


def test_shakespeares_roles_have_a_minimum_of_text():
    assert np.unique(load(Shakespeare(minimum_characters=2000), "shakespeare").clients).size == 99
    with pytest.raises(InputError, match=r"dataset\.minimum_characters: no role has 100000 characters"):
        load(Shakespeare(minimum_characters=100_000), "shakespeare")


def test_wisdm_has_36_persons_who_all_train():
    data = load(Wisdm(), "wisdm-ar")
    assert (data.input_shape, np.unique(data.clients).tolist()) == ((43,), list(range(1, 37)))
    both = np.bincount(np.concatenate([data.train_y, data.test_y]))
    assert both.tolist() == [528, 1625, 306, 246, 632, 2081]
    assert data.train_x.mean(0, dtype=np.float64) == pytest.approx(0, abs=1e-5)
    std = data.train_x.std(0)
    assert std[30] == 0  # the mean acceleration along x, which is 0 throughout the file
    assert std[33:36] == pytest.approx([0.96, 0.99, 0.99], abs=0.01)  # some periods are missing
    assert np.delete(std, [30, 33, 34, 35]) == pytest.approx(1, abs=1e-4)


def test_tiny_imagenet_has_20_classes_of_250_photographs():
    data = load(TinyImagenet(), "tiny-imagenet-20")
    assert np.bincount(data.train_y).tolist() == [200] * 20
    assert np.bincount(data.test_y).tolist() == [50] * 20
    assert data.train_x.mean((0, 2, 3), dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert data.train_x.std((0, 2, 3), dtype=np.float64) == pytest.approx(1, abs=1e-3)
