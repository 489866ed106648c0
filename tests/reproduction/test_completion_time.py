"""Completion time over the spread of computation (algorithms 6.2: R16), with links that cost nothing.

Five fast devices and five that are `spread` times slower train rounds in which everybody takes part, each
with the largest sub-model that keeps up with a fast device's full model. What a method saves is FedAvg's
round time over its own.
"""

from __future__ import annotations

import pytest

from edgesim.experiment import execute
from edgesim.parts import Parts, prepare
from edgesim.scenario import resolve
from tests.scenarios import document

SCENARIO = """\
name: spread
model: fedavg_cnn
dataset: digits
fleet:
  - {profile: pixel-6, count: 5, network: NETWORK, compute: {rate: 10 GFLOP/s}}
  - {profile: pixel-6, count: 5, network: NETWORK, compute: {rate: SLOW GFLOP/s}}
coordination: {name: synchronous, clients_per_round: 10}
training: {batch_size: 32}
stop: {rounds: 2}
"""
NETWORK = "{uplink: 1000000 Gbit/s, downlink: 1000000 Gbit/s, latency: 0 s}"
SPREADS = (1, 2, 4, 10, 100)


def parts_of(spread: float, submodel: str = "full") -> Parts:
    text = SCENARIO.replace("NETWORK", NETWORK).replace("SLOW", f"{10 / spread:g}")
    return prepare(resolve(document(text), None, [f"submodel={submodel}"]))


def round_s(parts: Parts) -> float:
    times = execute(parts, timing_only=True).tables["aggregations"]["time_s"]
    return times[1] - times[0]


@pytest.fixture(scope="module")
def fast_s() -> float:
    """A fast device's visit with the full model."""
    return round_s(parts_of(1))


def saved(spread: float, method: str, fast_s: float) -> float:
    fitted = parts_of(spread, f"{{name: {method}, fit: {{target: {1.001 * fast_s} s}}}}")
    return round_s(parts_of(spread)) / round_s(fitted)


def test_fedpmt_saves_what_the_backward_pass_costs_and_no_more(fast_s: float) -> None:
    structure = parts_of(1).structure
    limit = structure.train_macs(structure.all_layers) / structure.train_macs(structure.layers_from(3))
    assert 2.9 < limit < 3
    savings = [saved(spread, "fedpmt", fast_s) for spread in SPREADS]
    assert savings == sorted(savings)
    assert savings[0] == pytest.approx(1)
    assert savings[-2:] == pytest.approx([limit, limit], rel=1e-3)


@pytest.mark.parametrize("method", ["heterofl", "feddrop, drop_conv: true"])
def test_widths_go_on_saving_with_the_square_of_the_rate(method: str, fast_s: float) -> None:
    savings = [saved(spread, method, fast_s) for spread in SPREADS]
    # Whoever is slower by less than a rung's square waits for nobody: the round is a fast device's.
    assert savings[:4] == pytest.approx([1, 2, 4, 10], rel=0.01)
    assert savings[4] > 60


def test_dropping_fully_connected_units_alone_saves_nothing_of_the_convolutions(fast_s: float) -> None:
    structure = parts_of(1).structure
    first, second = (layer.macs for layer in structure.layers[:2])
    limit = structure.train_macs(structure.all_layers) / (2 * first + 3 * second)
    savings = [saved(spread, "feddrop", fast_s) for spread in SPREADS]
    assert savings[2:] == pytest.approx([savings[-1]] * 3, rel=1e-3)  # all have dropped what they can
    assert savings[-1] < limit
