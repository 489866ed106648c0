"""From what was timed on a device to its profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgesim import yaml_source
from edgesim.devices.measured import Predicted
from edgesim.devices.origin import Basis
from edgesim.devices.profile import DeviceProfile, Kind
from edgesim.errors import InputError, Problem
from edgesim.learner import Operator
from edgesim.profiling.calibrate import Step, analytic, calibrated
from edgesim.profiling.runner.timings import Line, Timings
from edgesim.results import files

Data = dict[str, Any]  # as YAML would write it

HOST = (  # what lines must tell
    "machine",
    "system",
    "cpu",
    "cores",
    "memory_bytes",
    "threads",
    "onnxruntime",
    "started",
    "scenario",
    "edgesim",
    "torch",
    "mixed",
)
TIMING = ("labels", "batch", "operators", "seconds", "passes", "peak_bytes", "energy_j_per_run")


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
        InputError: no training step was timed, or by a runner that told less.
    """
    lines = _steps_of(timings)
    host = _whole(timings.hosts[-1], HOST)
    told, steps = _told(host, len(lines)), [_step(line) for line in lines]
    device = _here(host, lines, told, kind, network) if like is None else _of(like)
    data = {
        "title": title or _title(host, like),
        "compute": _compute(steps, "measured" if like is None else "estimated", told),
        "measured": {
            "source": told,
            "emulated": like is not None,
            "table": [*map(_timed, lines), *_mixtures(host, lines)],
            "fit": calibrated(steps).model_dump(mode="json"),
        },
        **device,
    }
    return yaml_source.validate(yaml_source.parse(yaml_source.dump(data), "timings"), DeviceProfile)


def _here(host: Line, lines: Sequence[Line], told: str, kind: Kind, network: str) -> Data:
    """What the device on which the runner ran tells of itself."""
    return {
        "kind": kind,
        "cores": _certain(host["cores"], told),
        "memory": _memory(host, told),
        "power": _power(lines, told),
        "network": network,
    }


def _of(like: DeviceProfile) -> Data:
    """What an emulated device says apart from its seconds."""
    return like.model_dump(
        mode="json", exclude_none=True, include={"kind", "cores", "memory", "power", "network"}
    )


def predictions(timings: Timings, profile: DeviceProfile) -> dict[str, Predicted]:
    """Seconds of each timed step as its device's profile predicts them, by shape."""
    assert profile.measured is not None
    lines, fit = _steps_of(timings), profile.measured.fit
    rate_flops, overhead_s = profile.compute.rate.value, profile.compute.step_overhead.value
    found = {}
    for line in lines:
        operators = _step(line).operators
        analytic_s = overhead_s + sum(operator.flops for operator in operators) / rate_flops
        found[line["shape"]] = Predicted(fit.seconds(operators), analytic_s)
    for mixture, parts in _parts(timings.hosts[-1], lines):
        runs = [(times, found[part["shape"]]) for times, part in parts]
        found[mixture["shape"]] = Predicted(
            sum(times * each.fitted_s for times, each in runs),
            sum(times * each.analytic_s for times, each in runs),
        )
    return found


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


def _steps_of(timings: Timings) -> list[Line]:
    """The lines of the training steps that were timed."""
    lines = [
        _whole(line, TIMING)
        for (_, graph), line in timings.results.items()
        if graph == "step" and line["kind"] == "timing"
    ]
    if not lines:
        raise InputError("no training step was timed; time the bundle's steps first")
    return lines


def _whole(line: Line, keys: Sequence[str]) -> Line:
    missing = [key for key in keys if key not in line]
    if missing:
        raise InputError(
            f"a line of kind {line['kind']} lacks {', '.join(missing)}; time the bundle with its own runner"
        )
    return line


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


def _timed(line: Line) -> Data:
    seconds = line["seconds"]
    row = _row(line, seconds["median"], seconds["low"], max(seconds["high"], *line["passes"]))
    return row if line["peak_bytes"] is None else {**row, "memory": f"{line['peak_bytes']} B"}


def _row(of: Line, median: float, low: float, high: float) -> Data:
    """A row of the table, of a timing or a mixture."""
    return {
        "shape": of["shape"],
        "label": ", ".join(of["labels"]),
        "batch": of["batch"],
        "seconds": f"{median:.6g} s",
        "low": f"{low:.6g} s",
        "high": f"{high:.6g} s",
    }


def _mixtures(host: Line, lines: Sequence[Line]) -> Iterator[Data]:
    """Steps of which each batch runs one of several that were timed: their means."""
    for mixture, parts in _parts(host, lines):
        median, low, high = (
            float(sum(times * part["seconds"][name] for times, part in parts))
            for name in ("median", "low", "high")
        )
        labels = [f"{label}, mean over its levels" for label in mixture["labels"]]
        yield _row({**mixture, "labels": labels}, median, low, high)


def _parts(host: Line, lines: Sequence[Line]) -> Iterator[tuple[Line, list[tuple[float, Line]]]]:
    """The mixtures all of whose steps were timed, with how often a batch runs each of these."""
    by_shape = {line["shape"]: line for line in lines}
    for mixture in host["mixed"] or ():
        if all(shape in by_shape for _, shape in mixture["runs"]):
            yield mixture, [(times, by_shape[shape]) for times, shape in mixture["runs"]]


def _compute(steps: Sequence[Step], basis: Basis, told: str) -> Data:
    """Rate and overhead that fit best; their range is twice the root mean square of what they miss by."""
    overhead_s, flop_s = analytic(steps)
    missed = [
        (overhead_s + flop_s * sum(operator.flops for operator in step.operators)) / step.seconds - 1
        for step in steps
    ]
    spread = 1 + 2 * float(np.sqrt(np.mean(np.square(missed))))
    how = f"least squares of relative errors over {told}"

    def figure(value: float, unit: str) -> Data:
        return _figure(value, value / spread, value * spread, unit, basis, how)

    return {"rate": figure(1 / flop_s, "FLOP/s"), "step_overhead": figure(overhead_s, "s")}


def _memory(host: Line, told: str) -> Data:
    """What the system says that it has.

    Raises:
        InputError: it does not say.
    """
    found = host["memory_bytes"]
    if found is None:
        raise InputError(
            "the system of the device does not tell its memory; add memory_bytes to its host line"
        )
    return _certain(f"{found} B", told)


def _power(lines: Sequence[Line], told: str) -> Data:
    """Power while training, where the runner could read it."""
    drawn_w = [
        line["energy_j_per_run"] / line["seconds"]["mean"]
        for line in lines
        if line["energy_j_per_run"] is not None
    ]
    if not drawn_w:
        return {}
    median_w, how = float(np.median(drawn_w)), f"median over {told}"
    return {"active": _figure(median_w, min(drawn_w), max(drawn_w), "W", "measured", how)}


def _certain(value: str | int, told: str) -> Data:
    """A figure that the system of the device tells."""
    origin = {"basis": "measured", "source": f"as the system tells: {told}"}
    return {"value": value, "low": value, "high": value, **origin}


def _figure(value: float, low: float, high: float, unit: str, basis: Basis, source: str) -> Data:
    numbers = {"value": value, "low": low, "high": high}
    shown = {key: f"{number:.6g} {unit}" for key, number in numbers.items()}
    return {**shown, "basis": basis, "source": source}
