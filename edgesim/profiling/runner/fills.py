"""The numbers that a graph is fed with: the same on every machine, drawn from the seeds of the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def draw(fill: dict[str, Any], shape: Sequence[int], dtype: str) -> np.typing.NDArray[Any]:
    """One input tensor.

    Args:
        fill: what the manifest says: normal (mean, std), integers (below) or bernoulli (keep), each with a
            seed, or constant (value).
        shape: its sizes.
        dtype: "float32" or "int64".
    """
    kind, size = fill["kind"], tuple(shape)
    if kind == "constant":
        return np.full(size, fill["value"], dtype)
    generator = np.random.Generator(np.random.Philox(key=fill["seed"]))
    if kind == "integers":
        return np.asarray(generator.integers(0, fill["below"], size, np.int64), dtype)
    if kind == "bernoulli":
        return np.asarray(generator.random(size, np.float32) < fill["keep"], dtype)
    # In single precision and in place: a passing copy would count towards the memory of the graph.
    numbers = generator.standard_normal(size, np.float32)
    numbers *= np.float32(fill["std"])
    numbers += np.float32(fill["mean"])
    return np.asarray(numbers, dtype)
