"""From what was timed on a device to its profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgesim import yaml_source
from edgesim.devices.measured import Measured, TimedStep
from edgesim.devices.origin import Basis, Figure
from edgesim.devices.profile import Compute, DeviceProfile, Kind, Power
from edgesim.errors import InputError, Problem
from edgesim.learner import Operator
from edgesim.profiling.calibrate import Step, analytic, calibrated
from edgesim.profiling.runner.timings import Line, Timings
from edgesim.results import files


def profile_of(
    timings: Timings, *, title: str | None, kind: Kind, network: str, like: DeviceProfile | None = None
) -> DeviceProfile:
    """The profile of the device on which these steps were timed.

    Args:
        timings: as the runner wrote them.
        title: name of the device for people; what the system calls it where absent.
        kind: what sort of device it is.
        network: name of the network that it is on.
        like: the device that was emulated; null where the timings are the device's own.

    Raises:
        InputError: no training step was timed.
    """
    host = timings.hosts[-1] if timings.hosts else {}
    lines = [line for (_, graph), line in timings.results.items() if graph == "step" and "seconds" in line]
    if not lines:
        raise InputError("no training step was timed; time the bundle's steps first")
    basis: Basis = "measured" if like is None else "estimated"
    told = _told(host, len(lines))
    steps = [_step(line) for line in lines]
    return DeviceProfile(
        title=title or _title(host, like),
        kind=kind if like is None else like.kind,
        compute=_compute(steps, basis, told),
        measured=Measured(
            source=told,
            emulated=like is not None,
            table=(*map(_timed, lines), *_mixtures(host, lines)),
            fit=calibrated(steps),
        ),
        cores=_cores(host, told) if like is None else like.cores,
        memory=_memory(host, told) if like is None else like.memory,
        power=_power(lines, told) if like is None else like.power,
        network=network if like is None else like.network,
    )


def write(profile: DeviceProfile, path: Path) -> None:
    """Write a profile, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    data = profile.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    heading = f"# {profile.title}: written by edgesim profile.\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, heading + yaml_source.dump(data))
    except OSError as error:
        raise InputError(Problem(f"cannot be written ({error.strerror})", place=str(path))) from error


def _title(host: Line, like: DeviceProfile | None) -> str:
    name = str(host.get("board") or host.get("cpu") or host["machine"])
    return name if like is None else f"{like.title}, emulated on {name}"


def _told(host: Line, steps: int) -> str:
    """What was timed, when, on what, and with which versions."""
    threads = "1 thread" if host["threads"] == 1 else f"{host['threads']} threads"
    cpu = host.get("cpu") or host["machine"]
    return (
        f"{steps} training steps of the scenario {host['scenario']} (edgesim {host['edgesim']}, torch"
        f" {host['torch']}), timed on {cpu} ({host['system']}) with {threads} by onnxruntime"
        f" {host['onnxruntime']} at {host['started']}"
    )


def _step(line: Line) -> Step:
    operators = tuple(Operator(**operator) for operator in line["operators"])
    return Step(line["shape"], line["labels"][0], line["batch"], operators, line["seconds"]["median"])


def _timed(line: Line) -> TimedStep:
    seconds = line["seconds"]
    return TimedStep(
        shape=line["shape"],
        label=", ".join(line["labels"]),
        batch=line["batch"],
        seconds=seconds["median"],
        low=seconds["low"],
        high=seconds["high"],
        memory=line["peak_bytes"],
    )


def _mixtures(host: Line, lines: Sequence[Line]) -> Iterator[TimedStep]:
    """Steps of which each batch runs one of several that were timed: their means."""
    by_shape = {line["shape"]: line for line in lines}
    for mixture in host["mixed"]:
        parts = [(times, by_shape.get(shape)) for times, shape in mixture["runs"]]
        if any(part is None for _, part in parts):
            continue

        def mean(name: str, parts: Sequence[tuple[float, Any]] = parts) -> float:
            return float(sum(times * part["seconds"][name] for times, part in parts))

        yield TimedStep(
            shape=mixture["shape"],
            label=", ".join(mixture["labels"]),
            batch=mixture["batch"],
            seconds=mean("median"),
            low=mean("low"),
            high=mean("high"),
        )


def _compute(steps: Sequence[Step], basis: Basis, told: str) -> Compute:
    """Rate and overhead that fit best; their range is twice the root mean square of what they miss by."""
    overhead_s, flop_s = analytic(steps)
    missed = [
        (overhead_s + flop_s * sum(operator.flops for operator in step.operators)) / step.seconds - 1
        for step in steps
    ]
    spread = 1 + 2 * float(np.sqrt(np.mean(np.square(missed))))
    how = f"least squares of relative errors over {told}"

    def figure(value: float) -> Any:
        return Figure(value=value, low=value / spread, high=value * spread, basis=basis, source=how)

    return Compute(rate=figure(1 / flop_s), step_overhead=figure(overhead_s))


def _cores(host: Line, told: str) -> Any:
    count = host["cores"]
    return Figure(value=count, low=count, high=count, basis="measured", source=f"as the system tells: {told}")


def _memory(host: Line, told: str) -> Any:
    """What the system says that it has.

    Raises:
        InputError: it does not say.
    """
    found = host["memory_bytes"]
    if found is None:
        raise InputError(
            "the system of the device does not tell its memory; add memory_bytes to its host line"
        )
    value = float(found)
    return Figure(value=value, low=value, high=value, basis="measured", source=f"as the system tells: {told}")


def _power(lines: Sequence[Line], told: str) -> Power:
    """Power while training, where the runner could read it."""
    drawn = [
        line["energy_j_per_run"] / line["seconds"]["mean"]
        for line in lines
        if line["energy_j_per_run"] is not None
    ]
    if not drawn:
        return Power()
    value, low, high = float(np.median(drawn)), min(drawn), max(drawn)
    return Power(
        active=Figure(value=value, low=low, high=high, basis="measured", source=f"median over {told}")
    )
