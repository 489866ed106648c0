"""What every data set must do, on the originals beside this checkout; where they are not, it is skipped.

What is a user's own copy is held to the same on a few made-up records.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgesim import registry
from edgesim.datasets._dataset import IGNORED, Data, Dataset
from edgesim.datasets._partition import Dirichlet, Iid, Natural
from edgesim.errors import InputError
from tests.datasets.copies import COPIES
from tests.originals import ORIGINALS

# Training samples of each class, test samples, and shape of one, as published.
PUBLISHED: dict[str, tuple[list[int], int, tuple[int, ...]]] = {
    "cifar10": ([5000] * 10, 10_000, (3, 32, 32)),
    "fashion_mnist": ([6000] * 10, 10_000, (1, 28, 28)),
    "mnist": ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 10_000, (1, 28, 28)),
}


@pytest.fixture(scope="module", params=registry.names("datasets"))
def cls(request: pytest.FixtureRequest) -> Any:
    return registry.builtin("datasets", request.param)


@pytest.fixture(scope="module")
def required(cls: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The keys without which a scenario cannot name it."""
    if "path" not in {field.name for field in dataclasses.fields(cls)}:
        return {}
    name = cls.__module__.rpartition(".")[2]
    return COPIES[name](tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def data(cls: Any, required: dict[str, Any]) -> Data:
    try:
        return made(cls, required | {"partition": "natural"}).load(ORIGINALS, download=False)
    except InputError as error:
        if ORIGINALS.is_dir():
            raise
        pytest.skip(f"no originals beside this checkout: {error}")


def made(cls: Any, keys: dict[str, Any]) -> Dataset:
    dataset: Dataset = TypeAdapter(cls).validate_python(keys, strict=False)
    return dataset


def test_it_is_a_frozen_component_with_a_partition_and_a_held_out_share(
    cls: Any, required: dict[str, Any]
) -> None:
    plain = made(cls, required)
    assert dataclasses.is_dataclass(plain)
    assert type(plain).__dataclass_params__.frozen
    assert (plain.partition, plain.validation) == (Natural() if cls.functions else Iid(), 0)
    dealt = made(cls, required | {"partition": {"name": "dirichlet", "alpha": 0.3}, "validation": 0.1})
    assert (dealt.partition, dealt.validation) == (Dirichlet(alpha=0.3), 0.1)
    for share in (-0.1, 1.0):
        with pytest.raises(ValidationError):
            made(cls, required | {"validation": share})


def test_its_samples_are_finite_and_of_one_shape(data: Data) -> None:
    for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
        assert x.dtype in (np.float32, np.int64, np.float64)
        assert x.shape == (len(y), *data.input_shape)
        assert np.isfinite(x).all()
        assert x.flags.c_contiguous
        assert y.dtype == np.int64
        assert y.shape in ((len(x),), x.shape)
        assert y.flags.c_contiguous


def test_every_class_is_there_for_training_and_for_testing_unless_it_is_a_token(data: Data) -> None:
    if data.train_x.dtype != np.int64:
        assert set(data.train_y) == set(data.test_y) == set(range(data.classes))


def test_tokens_and_what_is_predicted_from_them_are_of_one_vocabulary(data: Data) -> None:
    if data.train_x.dtype == np.int64:
        for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
            predicted = y[y != IGNORED]
            assert min(x.min(), predicted.min()) >= 0
            assert max(x.max(), predicted.max()) < data.classes


def test_what_has_nothing_to_predict_has_one_class_and_an_optimum(cls: Any, data: Data) -> None:
    assert (data.optimum is not None) == cls.functions == (data.classes == 1)


def test_every_training_sample_has_a_natural_client_or_none_has(data: Data) -> None:
    if data.clients is not None:
        assert (data.clients.dtype, data.clients.shape) == (np.int64, (len(data.train_y),))
        assert np.unique(data.clients).size > 1


@pytest.mark.parametrize("cls", PUBLISHED, indirect=True)
def test_the_famous_ones_are_whole_and_normalised(cls: Any, data: Data) -> None:
    per_class, test, shape = PUBLISHED[cls.__module__.rpartition(".")[2]]
    assert np.bincount(data.train_y).tolist() == per_class
    assert (data.test_y.size, data.input_shape) == (test, shape)
    assert data.train_x.mean((0, 2, 3), dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert data.train_x.std((0, 2, 3), dtype=np.float64) == pytest.approx(1, abs=1e-3)
