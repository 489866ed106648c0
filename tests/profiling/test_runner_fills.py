"""Every machine feeds the same numbers."""

import numpy as np
import pytest

from edgesim.profiling.runner.fills import draw

NORMAL = {"kind": "normal", "mean": 0.5, "std": 2.0, "seed": 7}


def test_the_numbers_of_a_seed_are_golden() -> None:
    """The same on numpy 1.26 and 2.0 to 2.5, Pythons 3.9 to 3.13."""
    integers = draw({"kind": "integers", "below": 10, "seed": 7}, [4], "int64")
    kept = draw({"kind": "bernoulli", "keep": 0.5, "seed": 7}, [4], "float32")
    assert draw(NORMAL, [2, 2], "float32") == pytest.approx(
        np.array([[-0.08667803, 3.9076612], [3.5783837, 1.7735077]]), rel=1e-6
    )
    assert integers.tolist() == [1, 8, 9, 2]
    assert kept.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "fill",
    [
        NORMAL,
        {"kind": "integers", "below": 10, "seed": 0},
        {"kind": "bernoulli", "keep": 0.25, "seed": 2**63},
        {"kind": "constant", "value": 3},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("shape", [[], [0], [3, 2]])
def test_a_fill_has_the_shape_and_dtype_asked_for(
    fill: dict[str, object], dtype: str, shape: list[int]
) -> None:
    drawn = draw(fill, shape, dtype)
    assert isinstance(drawn, np.ndarray)
    assert (drawn.shape, drawn.dtype) == (tuple(shape), np.dtype(dtype))
    assert np.array_equal(drawn, draw(fill, shape, dtype))


def test_fills_follow_their_laws() -> None:
    size = 100_000
    normal = draw(NORMAL, [size], "float32")
    assert normal.mean() == pytest.approx(0.5, abs=4 * 2 / np.sqrt(size))
    assert normal.std() == pytest.approx(2, rel=0.02)
    kept = draw({"kind": "bernoulli", "keep": 0.25, "seed": 1}, [size], "float32")
    assert kept.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / size))
    integers = draw({"kind": "integers", "below": 10, "seed": 1}, [size], "int64")
    assert np.bincount(integers) == pytest.approx(np.full(10, size / 10), rel=0.05)
