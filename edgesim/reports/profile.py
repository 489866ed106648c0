"""What was timed on a device, and how well a fit to it predicts what was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from edgesim.devices.measured import Fit, Measured, Misses, Predicted, TimedStep
from edgesim.devices.profile import DeviceProfile
from edgesim.reports import _format
from edgesim.reports._text import to_text

UNSTEADY = 0.1
"""What passes may differ by before it is worth a line."""


def to_json(profile: DeviceProfile, path: Path, predicted: Mapping[str, Predicted]) -> dict[str, Any]:
    """The profile's figures of computing, and each timed step beside what the fit says of it; base units.

    Args:
        profile: with what was measured.
        path: of its file.
        predicted: by shape, what the profile says of each timed step.
    """
    measured = _measured(profile)
    rows = [
        {
            "shape": step.shape,
            "label": step.label,
            "batch": step.batch,
            "seconds_per_step": {"median": step.seconds, "low": step.low, "high": step.high},
            "memory_bytes": step.memory,
            **predicted[step.shape]._asdict(),
            "error": _error(step, predicted),
        }
        for step in measured.table
    ]
    return {
        "path": str(path),
        "title": profile.title,
        "source": measured.source,
        "emulated": measured.emulated,
        "rate_flops": profile.compute.rate.value,
        "step_overhead_s": profile.compute.step_overhead.value,
        "table": rows,
        "fit": measured.fit.model_dump(),
    }


def render(
    profile: DeviceProfile, path: Path, predicted: Mapping[str, Predicted], width: int | None = None
) -> str:
    """The same as plain text, with how to use the profile."""
    return to_text(_parts(profile, path, predicted), width)


def _parts(
    profile: DeviceProfile, path: Path, predicted: Mapping[str, Predicted]
) -> Iterator[RenderableType]:
    measured = _measured(profile)
    yield f"{path}: {profile.title}"
    yield measured.source
    if measured.emulated:
        yield "EMULATED: these are seconds of this machine made as small, no measurement of that device"
    yield _table(measured, predicted)
    yield "share: of the longest step with the same batch; analytic: by this device's rate and overhead alone"
    yield from _unsteady(measured)
    yield from _errors(measured.fit)
    compute = profile.compute
    yield (
        f"without the table: {_format.rate(compute.rate.value)} and"
        f" {_format.seconds(compute.step_overhead.value)} per step"
    )
    yield f"In a scenario: cost: measured, and in its fleet {{profile: {path.stem}, count: 10}}"


def _table(measured: Measured, predicted: Mapping[str, Predicted]) -> Table:
    """Each step as it was timed, and beside it what the profile says of it."""
    table = Table(box=box.MARKDOWN)
    table.add_column("sub-model")
    for heading in ("batch", "ms per step", "share", "analytic share", "memory", "fit misses by"):
        table.add_column(heading, justify="right")
    longest = {step.batch: step for step in sorted(measured.table, key=lambda step: step.seconds)}
    for step in measured.table:
        whole = longest[step.batch]
        analytic = predicted[step.shape].analytic_s / predicted[whole.shape].analytic_s
        table.add_row(
            step.label,
            str(step.batch),
            f"{_ms(step.seconds)} ({_ms(step.low)} to {_ms(step.high)})",
            _format.fraction(step.seconds / whole.seconds),
            _format.fraction(analytic),
            _format.size(step.memory),
            f"{100 * _error(step, predicted):+.1f} %",
        )
    return table


def _unsteady(measured: Measured) -> Iterator[str]:
    """How much slower the machine was in another pass, where that is more than a little."""
    slower = max(step.high / step.seconds for step in measured.table) - 1
    if slower > UNSTEADY:
        yield (
            f"up to {_format.fraction(slower)} slower in another pass: the machine had other work, or got"
            " hot; time again when it is idle"
        )


def _errors(fit: Fit) -> Iterator[str]:
    """How far the fit misses what it was not fitted to."""
    yield f"the fit misses what it was fitted to by {_format.fraction(fit.residual)} (root mean square)"
    for what, misses in (("shape", fit.leave_one_out), ("width or depth", fit.leave_a_width_out)):
        yield f"a fit to all others misses a {what} that is left out by {_shares(misses)}"


def _shares(misses: Misses | None) -> str:
    if misses is None:
        return f"{_format.UNKNOWN}: too few are timed to leave one out"
    median, p90, largest = map(_format.fraction, (misses.median, misses.p90, misses.largest))
    return f"{median} in the median, {p90} in nine of ten, {largest} at most"


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3g}"


def _error(step: TimedStep, predicted: Mapping[str, Predicted]) -> float:
    return predicted[step.shape].fitted_s / step.seconds - 1


def _measured(profile: DeviceProfile) -> Measured:
    if profile.measured is None:
        raise ValueError("the profile holds no timed steps")
    return profile.measured
