"""Averages over the rounds of a run, and how sure they are."""

import numpy as np

from tests.theory.quadratics import Floats


def batch_means(values: Floats, batches: int = 16) -> tuple[float, float]:
    """Mean of a stationary series [rounds] and its standard error, from the means of equal stretches."""
    size = len(values) // batches
    means = values[: size * batches].reshape(batches, size).mean(1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(batches))
