"""The data sets themselves; the published ones where this machine has them."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgesim import registry
from edgesim.datasets._dataset import Data, normalised
from edgesim.datasets._partition import Dirichlet, Iid
from edgesim.datasets.cifar10 import Cifar10
from edgesim.datasets.digits import Digits
from edgesim.datasets.fashion_mnist import FashionMnist
from edgesim.datasets.mnist import Mnist

ORIGINALS = Path(__file__).parents[2].parent / "shared" / "data"


def load(dataset, folder):
    if not (ORIGINALS / folder).is_dir():
        pytest.skip(f"no originals of {folder} beside this checkout")
    data = dataset.load(ORIGINALS, download=False)
    assert_is_well_formed(data)
    return data


def assert_is_well_formed(data: Data):
    for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.shape == (y.size, *data.input_shape)
        assert set(y) == set(range(data.classes))


def test_digits_need_no_files_and_have_a_fixed_stratified_split():
    data = Digits().load(None, download=False)
    assert_is_well_formed(data)
    assert (data.train_y.size, data.test_y.size, data.input_shape) == (1437, 360, (1, 8, 8))
    assert (data.train_x.min(), data.train_x.max()) == (0.0, 1.0)
    assert np.ptp(np.bincount(data.test_y)) <= 3
    again = Digits().load(None, download=False)
    assert np.array_equal(data.train_x, again.train_x)


def test_mnist_is_whole():
    data = load(Mnist(), "mnist")
    assert (data.train_y.size, data.test_y.size, data.input_shape) == (60_000, 10_000, (1, 28, 28))
    per_class = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.train_y).tolist() == per_class
    assert_is_normalised(data)


def test_fashion_mnist_is_whole():
    data = load(FashionMnist(), "fashion-mnist")
    assert (data.train_y.size, data.test_y.size, data.input_shape) == (60_000, 10_000, (1, 28, 28))
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert_is_normalised(data)


def test_cifar10_is_whole():
    data = load(Cifar10(), "cifar10")
    assert (data.train_y.size, data.test_y.size, data.input_shape) == (50_000, 10_000, (3, 32, 32))
    assert np.bincount(data.train_y).tolist() == [5000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    assert_is_normalised(data)


def assert_is_normalised(data: Data):
    axes = (0, 2, 3)
    assert data.train_x.mean(axes, dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert data.train_x.std(axes, dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_pixels_are_normalised_per_channel():
    pixels = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)  # one image, two channels of 1x2
    x = normalised(pixels, mean=(0.5, 0.2), std=(0.5, 0.1))
    assert x == pytest.approx(np.array([[[[-1, 1]], [[0, 2]]]]), abs=1e-6)


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_every_data_set_has_a_partition_and_a_held_out_share(name):
    adapter = TypeAdapter(registry.builtin("datasets", name))
    assert adapter.validate_json("{}").partition == Iid()
    dataset = adapter.validate_json('{"partition": {"name": "dirichlet", "alpha": 0.3}, "validation": 0.1}')
    assert (dataset.partition, dataset.validation) == (Dirichlet(alpha=0.3), 0.1)
    for share in (-0.1, 1.0):
        with pytest.raises(ValidationError):
            adapter.validate_json(f'{{"validation": {share}}}')
