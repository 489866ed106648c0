"""What was timed on a device: seconds of whole training steps, and what they say of steps that were not.

    seconds = sum of coefficient x feature

The features of a step are read from its operators: `step` is 1 and stands for what each step costs whatever
it computes, `calls` counts operators, `flops` and `bytes` are those of all of them, and `conv flops` or
`linear bytes` those of one class. The coefficients by class do not know a class that was never timed: a step
with one is predicted by `step`, `flops` and `bytes` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from edgesim.devices._strict import Strict
from edgesim.devices.origin import Text, check_range
from edgesim.learner import Operator, Workload
from edgesim.yaml_source import Bytes, Count, NonNegative, PositiveSeconds

StepBasis = Literal["timed", "fitted"]


class TimedStep(Strict):
    """One kind of training step as it was timed.

    Attributes:
        shape: as of `Workload`.
        label: for people.
        batch: samples of the step.
        seconds: median over the repeats.
        low: lower end of its 95 % interval.
        high: upper end, or the median of a slower pass.
        memory: peak of the process; absent where the system does not tell.
    """

    shape: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    label: Text
    batch: Count
    seconds: PositiveSeconds
    low: PositiveSeconds
    high: PositiveSeconds
    memory: Bytes | None = None

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        check_range(self.low, self.seconds, self.high, "seconds")
        return self


class Misses(Strict):
    """By how much predictions miss what was timed, as shares of it.

    Attributes:
        median: over what was left out.
        p90: nine in ten miss by less.
        largest: the worst.
    """

    median: NonNegative
    p90: NonNegative
    largest: NonNegative


class Fit(Strict):
    """Seconds of a step from its operators.

    Attributes:
        coefficients: seconds per unit of each feature.
        plain: the same with the features `step`, `flops` and `bytes` alone.
        classes: of the operators that were timed.
        residual: root mean square of the relative errors on what it was fitted to.
        leave_one_out: errors on each shape by a fit to the others; absent where there are too few.
        leave_a_width_out: errors on all shapes of one sub-model size by a fit to the others; likewise.
    """

    coefficients: dict[str, NonNegative]
    plain: dict[str, NonNegative]
    classes: tuple[str, ...]
    residual: NonNegative
    leave_one_out: Misses | None = None
    leave_a_width_out: Misses | None = None

    @property
    def uncertainty(self) -> float:
        """Nine in ten predictions miss by less, as a share: on shapes left out, else twice the residual."""
        return 2 * self.residual if self.leave_one_out is None else self.leave_one_out.p90

    def seconds(self, operators: Iterable[Operator]) -> float:
        """Of one full step with these operators."""
        found = tuple(operators)
        seen = {operator.kind for operator in found} <= set(self.classes)
        return predicted(self.coefficients if seen else self.plain, features(found))


class StepTime(NamedTuple):
    """Seconds of one step, and how they are known."""

    seconds: float
    basis: StepBasis


class Predicted(NamedTuple):
    """What is said of a step that was timed, without looking at its time.

    Attributes:
        fitted_s: by the fit over classes of operators, seconds.
        analytic_s: by overhead and floating-point operations, as `cost: analytic` has it.
    """

    fitted_s: float
    analytic_s: float


class Measured(Strict):
    """The timings of a device.

    Attributes:
        source: what was timed, when, on what, and with which versions.
        emulated: whether another machine was made as small as this device; that is no measurement of it.
        table: what was timed.
        fit: what it says of the rest.
    """

    source: Text
    emulated: bool = False
    table: Annotated[tuple[TimedStep, ...], Field(min_length=1)]
    fit: Fit

    @cached_property
    def _by_shape(self) -> dict[str, TimedStep]:
        return {step.shape: step for step in self.table}

    def step(self, workload: Workload) -> StepTime:
        """Mean seconds of a full step of a workload: as timed where its shape was, else by the fit."""
        if workload.runs:
            parts = [(times, self.step(part)) for times, part in workload.runs]
            whole = all(part.basis == "timed" for _, part in parts)
            seconds = sum(times * part.seconds for times, part in parts)
            return StepTime(seconds, "timed" if whole else "fitted")
        timed = self._by_shape.get(workload.shape)
        if timed is None:
            return StepTime(self.fit.seconds(workload.operators), "fitted")
        return StepTime(timed.seconds, "timed")


def features(operators: Iterable[Operator]) -> dict[str, float]:
    """The features of one full training step with these operators, by name."""
    found = {"step": 1.0, "calls": 0.0, "flops": 0.0, "bytes": 0.0}
    for operator in operators:
        found["calls"] += operator.calls
        found["flops"] += operator.flops
        found["bytes"] += operator.bytes
        found[f"{operator.kind} flops"] = operator.flops
        found[f"{operator.kind} bytes"] = operator.bytes
    return found


def predicted(coefficients: Mapping[str, float], known: Mapping[str, float]) -> float:
    """Seconds of a step with these features."""
    return sum(value * known.get(name, 0.0) for name, value in coefficients.items())
