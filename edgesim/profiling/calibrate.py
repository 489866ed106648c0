"""What timed training steps say of steps that were not timed: a fit, and how far it can be trusted.

    seconds = sum of coefficient x feature        coefficients >= 0, relative errors least squares

The features are those of `devices.measured`. With six shapes or fewer there are three of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.measured import Fit, Misses, features
from edgesim.errors import RunFailed
from edgesim.learner import Operator

Floats = NDArray[np.float64]

PLAIN = ("step", "flops", "bytes")
ANALYTIC = ("step", "flops")
FEW = 6  # shapes, up to which features by class of operators would fit anything


@dataclass(frozen=True)
class Step:
    """A kind of training step that was timed.

    Attributes:
        shape: as of `Workload`.
        label: of the sub-model, such as `heterofl width 0.5`.
        batch: samples.
        operators: of the full step.
        seconds: median.
    """

    shape: str
    label: str
    batch: int
    operators: tuple[Operator, ...]
    seconds: float

    @property
    def classes(self) -> frozenset[str]:
        """Of its operators."""
        return frozenset(operator.kind for operator in self.operators)


def calibrated(steps: Sequence[Step]) -> Fit:
    """The fit to timed steps, and its errors on steps that it was not fitted to.

    Raises:
        RunFailed: there are no steps.
    """
    if not steps:
        raise RunFailed("no training step was timed, so that there is nothing to fit; time a bundle first")
    fit = _fitted(steps)
    misses = _relative([fit.seconds(step.operators) for step in steps], steps)
    return fit.model_copy(
        update={
            "residual": float(np.sqrt(np.mean(misses**2))),
            "leave_one_out": _left_out(steps, lambda step: step.shape),
            "leave_a_width_out": _left_out(steps, lambda step: step.label),
        }
    )


def analytic(steps: Sequence[Step]) -> tuple[float, float]:
    """Seconds of overhead per step, and seconds per floating-point operation, that fit best."""
    found = _coefficients(steps, ANALYTIC)
    if "flops" not in found:  # steps take the same whatever they compute, and a rate must be finite
        found = _coefficients(steps, ("flops",))
    return found.get("step", 0.0), found["flops"]


def _fitted(steps: Sequence[Step]) -> Fit:
    plain = _coefficients(steps, PLAIN)
    shapes = {step.shape for step in steps}
    names = dict.fromkeys(name for step in steps for name in features(step.operators))
    by_class = [name for name in names if name not in ("flops", "bytes")]
    return Fit(
        coefficients=plain if len(shapes) <= FEW else _coefficients(steps, by_class),
        plain=plain,
        classes=tuple(sorted(frozenset().union(*(step.classes for step in steps)))),
        residual=0.0,
    )


def _coefficients(steps: Sequence[Step], names: Sequence[str]) -> dict[str, float]:
    """Least squares of relative errors; features that are 0 everywhere, or help nowhere, are left out."""
    from scipy.optimize import nnls

    rows = np.array([[features(step.operators).get(name, 0.0) for name in names] for step in steps])
    rows /= np.array([step.seconds for step in steps])[:, None]
    largest = rows.max(0)
    used = np.flatnonzero(largest)
    found, _ = nnls(rows[:, used] / largest[used], np.ones(len(steps)))  # of one size, or few digits are left
    values = (found / largest[used]).tolist()
    return {names[place]: value for place, value in zip(used.tolist(), values, strict=True) if value > 0}


def _left_out(steps: Sequence[Step], key: Callable[[Step], Hashable]) -> Misses | None:
    """Errors on the steps of each key by a fit to all others; null where there are no others enough."""
    keys = dict.fromkeys(map(key, steps))
    if len(keys) < len(PLAIN) + 1:
        return None
    missed: list[float] = []
    for one in keys:
        apart = [step for step in steps if key(step) == one]
        fit = _fitted([step for step in steps if key(step) != one])
        missed.extend(np.abs(_relative([fit.seconds(step.operators) for step in apart], apart)))
    return Misses(
        median=float(np.median(missed)), p90=float(np.quantile(missed, 0.9)), largest=float(max(missed))
    )


def _relative(found: Sequence[float], steps: Sequence[Step]) -> Floats:
    timed = np.array([step.seconds for step in steps])
    errors: Floats = (np.array(found) - timed) / timed
    return errors
