"""Every random number of the devices has the mean and the variance of its law."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgesim.devices import _load
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.learner import Part, Workload
from edgesim.rng import Streams

COUNT = 50_000
DEVICES = np.arange(COUNT)
STREAMS = Streams(11)
SHIPPED = Catalogue(environment={})
SECOND = Workload("s", 10**9, 0, (), (Part("a", 10**6),), 10**6, 1, 1, 1, "full", 1.0)
LINK: dict[str, Any] = {"uplink": "8 Mbit/s", "downlink": "8 Mbit/s"}

Floats = NDArray[np.float64]


def _model(**written: Any) -> CostModel:
    entry = {"profile": "raspberry-pi-4", "count": COUNT, "network": LINK, "compute": {"rate": "1 GFLOP/s"}}
    group = FleetGroup.model_validate_json(json.dumps(entry | written))
    return CostModel(Fleet.draw([group], SHIPPED, STREAMS), STREAMS)


def _phase(phase: str, visit: int = 0, **written: Any) -> Floats:
    """Seconds of a phase that takes one second where nothing is random."""
    phases = _model(**written).nominal([SECOND], DEVICES, np.full(COUNT, visit))
    seconds: Floats = getattr(phases, phase)
    return seconds


def _column(column: str, **written: Any) -> Floats:
    values: Floats = getattr(_model(**written).fleet, column)
    return values


def _latency(**written: Any) -> Floats:
    return _column("latency_s", network=LINK | {"latency": written})


def _boards(column: str) -> Floats:
    group = FleetGroup.model_validate_json(json.dumps({"population": "boards", "count": COUNT}))
    values: Floats = getattr(Fleet.draw([group], SHIPPED, STREAMS), column)
    return values


def _log_uniform(low: float, high: float) -> tuple[float, float]:
    """Mean and variance of the logarithm."""
    return (np.log(low) + np.log(high)) / 2, np.log(high / low) ** 2 / 12


SLOW = {"probability": 0.2, "slowdown": 3}
GAMMA = {"dist": "gamma", "shape": 4, "scale": 0.5}
LAWS: dict[str, tuple[Callable[[], Floats], float, float]] = {
    "jitter of a download": (
        lambda: np.log(_phase("download_s", network=LINK | {"jitter": 0.3})), 0, 0.09),
    "jitter of an upload": (
        lambda: np.log(_phase("upload_s", network=LINK | {"jitter": 0.3})), 0, 0.09),
    "jitter of a visit": (
        lambda: np.log(_phase("compute_s", compute={"rate": "1 GFLOP/s", "jitter": 0.4})), 0, 0.16),
    "slowdown of a visit": (lambda: _phase("compute_s", visit=3, straggler=SLOW), 1.4, 0.64),
    "slowdown of a visit by a gamma law": (
        lambda: _phase("compute_s", straggler={"probability": 1, "slowdown": GAMMA}), 2, 1),
    "slow devices": (lambda: 1e9 / _column("rate_flops", slow_devices=SLOW), 1.4, 0.64),
    "log of the load": (
        lambda: _load.process(STREAMS, DEVICES, np.full(COUNT, 7), 1)[:, 0], 0, 1),
    "phase of the load's cells": (lambda: _load.phase(STREAMS, DEVICES), 1 / 2, 1 / 12),
    "exponential": (lambda: _latency(dist="exponential", mean="2 s"), 2, 4),
    "uniform": (lambda: _latency(dist="uniform", low="1 s", high="4 s"), 2.5, 9 / 12),
    "gamma": (lambda: _latency(dist="gamma", shape=4, scale="0.5 s"), 2, 1),
    "weibull": (lambda: _latency(dist="weibull", shape=2, scale="1 s"), np.sqrt(np.pi) / 2, 1 - np.pi / 4),
    "pareto": (lambda: _latency(dist="pareto", shape=9, scale="1 s"), 9 / 8, 9 / 64 / 7),
    "lognormal": (lambda: np.log(_latency(dist="lognormal", median="1 s", sigma=0.5)), 0, 0.25),
    "normal, cut off": (lambda: _latency(dist="truncnorm", a=-1, b=1, loc="2 s", scale="1 s"), 2, 0.29112),
    "rates of a population": (lambda: np.log(_boards("rate_flops") / 1e9), *_log_uniform(1.3, 1860)),
    "steps of a population": (lambda: np.log(_boards("step_overhead_s") * 1e3), *_log_uniform(3.4, 190)),
    "power of a population": (lambda: np.log(_boards("active_w") / 9.65), 0, 0.74**2),
    "memory of a population": (
        lambda: _boards("memory_bytes") / 1e9, 117.512 / 11, (0.512**2 + 1 + 48 + 320 + 4096) / 11 - 114.13),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_mean_and_variance_are_those_of_the_law(name: str) -> None:
    """Within three standard errors over 50,000 draws; that of the variance from the fourth moment."""
    draw, mean, variance = LAWS[name]
    values = draw()
    squares = (values - mean) ** 2
    assert values.mean() == pytest.approx(mean, abs=3 * np.sqrt(variance / COUNT))
    assert squares.mean() == pytest.approx(variance, abs=3 * squares.std() / np.sqrt(COUNT))


def test_draws_of_different_purposes_do_not_correlate() -> None:
    """Rank correlations of independent columns have the standard error 1 / sqrt(n)."""
    columns = [
        _phase("download_s", network=LINK | {"jitter": 0.3}),
        _phase("upload_s", network=LINK | {"jitter": 0.3}),
        _phase("compute_s", compute={"rate": "1 GFLOP/s", "jitter": 0.4}),
        _phase("compute_s", straggler={"probability": 1, "slowdown": GAMMA}),
        _column("rate_flops", slow_devices={"probability": 1, "slowdown": GAMMA}),
        _load.process(STREAMS, DEVICES, np.full(COUNT, 7), 1)[:, 0],
        _load.phase(STREAMS, DEVICES),
        _boards("rate_flops"),
        _boards("downlink_bps"),
    ]
    ranks = np.argsort(np.argsort(columns, axis=1), axis=1)
    correlations = np.corrcoef(ranks) - np.eye(len(columns))
    assert np.abs(correlations).max() < 4 / np.sqrt(COUNT)
