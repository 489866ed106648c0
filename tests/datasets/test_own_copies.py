"""Loaders of a user's own copy, on a few records written by hand in the original formats."""

import lzma
import os

import numpy as np
import pytest
from PIL import Image

from edgesim.datasets._dataset import IGNORED
from edgesim.datasets._example_proto import bytes_feature
from edgesim.datasets.femnist import Femnist
from edgesim.datasets.imagenet100 import MEAN, STD, Imagenet100
from edgesim.datasets.stackoverflow import BEGIN, END, FIRST_WORD, PADDING, RARE, Stackoverflow
from edgesim.errors import InputError
from tests.datasets.copies import class_folders, example, field, ink, tff_database, write_database, write_leaf


def refused(dataset, folder):
    with pytest.raises(InputError) as caught:
        dataset.load(None, download=False)
    return str(caught.value).replace(f"{folder}{os.sep}", "")


# ------------------------------------------------------------------------------------------ femnist


def test_femnist_is_read_as_leaf_splits_it(tmp_path):
    write_leaf(tmp_path, "train", {"zoe": [(ink(0), 61), (ink(29), 3)], "ada": [(ink(783), 0)]})
    write_leaf(tmp_path, "test", {"zoe": [(ink(1), 5)]})
    data = Femnist(path=tmp_path).load(None, download=False)
    assert (data.input_shape, data.classes) == ((1, 28, 28), 62)
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([61, 3, 0], [5])
    assert data.clients.tolist() == [1, 1, 0]  # by name
    assert [np.argwhere(x[0] < 0).tolist() for x in data.train_x] == [[[0, 0]], [[1, 1]], [[27, 27]]]
    assert np.argwhere(data.test_x[0, 0] < 0).tolist() == [[0, 1]]
    assert data.train_x.mean() == pytest.approx(0, abs=1e-4)
    assert data.train_x.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"ada": [(ink(0), 62)]}, "user_data.ada.y: must be classes from 0 to 61"),
        ({"ada": [([1.0] * 783, 1)]}, "user_data.ada.x: must be 784 finite numbers for each of the 1 in y"),
        ({"ada": [([1.0] * 783, 1), (ink(0), 1)]}, "user_data.ada.x: must be 784 numbers a sample: "),
        ({"ada": [([float("nan")] * 784, 1)]}, "user_data.ada.x: must be 784 finite numbers"),
        ({}, "user_data: must map writers to their samples; LEAF's preprocess.sh"),
    ],
)
def test_femnist_says_what_is_not_as_leaf_writes_it(tmp_path, samples, message):
    path = write_leaf(tmp_path, "train", samples)
    assert refused(Femnist(path=tmp_path), tmp_path).startswith(f"{path.relative_to(tmp_path)}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON: "),
        ('{"users": []}', 'has no key "user_data"'),
        ("[1]", 'has no key "user_data"'),
        ('{"user_data": {"ada": {"x": []}}}', 'has no key in user_data.ada "y"'),
        ('{"user_data": {"ada": 3}}', 'has no key in user_data.ada "x"'),
    ],
)
def test_femnist_refuses_other_json(tmp_path, content, message):
    path = write_leaf(tmp_path, "train", {})
    path.write_text(content)
    assert message in refused(Femnist(path=tmp_path), tmp_path)


def test_femnist_that_is_not_split_says_what_splits_it(tmp_path):
    write_leaf(tmp_path, "train", {"ada": [(ink(0), 1)]})
    assert refused(Femnist(path=tmp_path), tmp_path) == (
        "dataset.path: there is no *.json in test; LEAF's preprocess.sh -t sample (or -t user) writes "
        "train/*.json and test/*.json"
    )


# -------------------------------------------------------------------------------------- imagenet100


def test_a_photograph_is_its_middle_square_scaled(tmp_path):
    class_folders(tmp_path)
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 12:52] = 255  # black at the sides, well outside of the middle 32
    Image.fromarray(wide).save(tmp_path / "val/n01443537/n01443537_0.JPEG", "JPEG", quality=100)
    data = Imagenet100(path=tmp_path, side=16).load(None, download=False)
    assert data.input_shape == (3, 16, 16)
    white = (1 - np.array(MEAN)) / np.array(STD)
    assert data.test_x[0] == pytest.approx(np.broadcast_to(white[:, None, None], (3, 16, 16)), abs=0.1)


def test_classes_are_the_folders_in_the_order_of_their_names(tmp_path):
    data = Imagenet100(**{**class_folders(tmp_path), "path": tmp_path}).load(None, download=False)
    assert (data.train_y.tolist(), data.test_y.tolist(), data.classes) == ([0, 0, 1, 1, 2, 2], [0, 1, 2], 3)
    redness = data.train_x[:, 0].mean((1, 2))
    assert (np.diff(redness[::2]) > 0).all()


def test_grey_photographs_have_three_equal_channels(tmp_path):
    class_folders(tmp_path)
    Image.new("L", (20, 20), 128).save(tmp_path / "train/n01443537/n01443537_0.JPEG", "JPEG")
    grey = Imagenet100(path=tmp_path, side=8).load(None, download=False).train_x[0]
    plain = grey * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]
    assert plain == pytest.approx(128 / 255, abs=0.01)


def test_what_is_not_there_of_imagenet_is_said(tmp_path):
    dataset = Imagenet100(path=tmp_path, side=8)
    layout = "the photographs must lie in train/<class>/*.JPEG and val/<class>/*.JPEG"
    assert refused(dataset, tmp_path) == f"dataset.path: there is no folder train; {layout}"
    (tmp_path / "train").mkdir()
    assert refused(dataset, tmp_path) == f"train: has no folders of classes; {layout}"
    class_folders(tmp_path)
    (tmp_path / "train/n09").mkdir()
    assert refused(dataset, tmp_path) == f"train: has no *.JPEG in n09; {layout}"
    Image.new("RGB", (9, 9)).save(tmp_path / "train/n09/n09_0.JPEG")
    assert "has the class n09 in one of train/ and val/ only" in refused(dataset, tmp_path)
    (tmp_path / "train/n09/n09_0.JPEG").write_bytes(b"nonsense")
    (tmp_path / "val/n09").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "val/n09/n09_0.JPEG")
    assert refused(dataset, tmp_path).startswith("train/n09/n09_0.JPEG: cannot be read as a picture: ")


# ------------------------------------------------------------------------------------ stackoverflow


def test_words_are_numbered_by_falling_frequency_and_predict_the_next(tmp_path):
    sentences = [
        ("train", "a", "b b c"),
        ("train", "a", "d"),
        ("test", "a", "c e"),
        ("test", "a", "b b c d b"),
    ]
    path = write_database(tmp_path, sentences)
    data = Stackoverflow(path=path, length=4).load(None, download=False)
    b, c, d = FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2  # c and d are as frequent: by the alphabet
    assert data.classes == d + 1
    assert data.train_x.tolist() == [[BEGIN, b, b, c], [BEGIN, d, PADDING, PADDING]]
    assert data.train_y.tolist() == [[b, b, c, END], [d, END, IGNORED, IGNORED]]
    assert data.test_x.tolist() == [[BEGIN, c, RARE, PADDING], [BEGIN, b, b, c]]
    assert data.test_y.tolist() == [[c, RARE, END, IGNORED], [b, b, c, d]]  # the second is cut off


def test_words_beyond_the_vocabulary_are_alike(tmp_path):
    path = write_database(tmp_path, [("train", "a", "b b c d"), ("test", "a", "c")])
    data = Stackoverflow(path=path, length=4, vocabulary=1).load(None, download=False)
    assert data.classes == FIRST_WORD + 1
    assert data.train_x.tolist() == [[BEGIN, FIRST_WORD, FIRST_WORD, RARE]]


def test_users_are_read_in_the_order_of_their_names_and_so_many_sentences_of_each(tmp_path):
    keys = tff_database(tmp_path) | {"path": tmp_path / "stackoverflow.sqlite"}
    data = Stackoverflow(**keys).load(None, download=False)
    assert data.clients.tolist() == [0, 1, 1]
    assert Stackoverflow(**keys, sentences=1).load(None, download=False).clients.tolist() == [0, 1]
    assert refused(Stackoverflow(**keys, users=1), tmp_path) == (
        "stackoverflow.sqlite: has no sentences to train on and to test with of its first 1 users; read more"
    )


def test_what_is_no_database_of_tff_is_said(tmp_path):
    path = tmp_path / "stackoverflow.sqlite"
    assert refused(Stackoverflow(path=path), tmp_path) == (
        "dataset.path: there is no file stackoverflow.sqlite; unpack TFF's stackoverflow.sqlite.lzma there"
    )
    path.write_bytes(lzma.compress(b"still packed" * 100))
    assert refused(Stackoverflow(path=path), tmp_path) == (
        "stackoverflow.sqlite: is not TFF's stackoverflow.sqlite: file is not a database"
    )
    path.unlink()
    write_database(tmp_path, [])
    assert "read more" in refused(Stackoverflow(path=path), tmp_path)


def test_a_feature_of_an_example_is_found_by_its_name():
    assert bytes_feature(example(tokens="x" * 300), "tokens") == b"x" * 300
    assert bytes_feature(example(tokens=""), "title") == b"sorting"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (example(tokens="a")[:-1], "is no tf.train.Example"),
        (example(tokens="a")[:1], "is cut off"),
        (b"\x08\x03", "is no tf.train.Example"),
        (field(1, field(1, field(1, b"title"))), 'has no feature "tokens"'),
        (field(1, field(1, field(1, b"tokens"))), "has no field 2 where one is needed"),
    ],
)
def test_what_is_no_example_is_said(content, message):
    with pytest.raises(ValueError, match=message):
        bytes_feature(content, "tokens")
