"""Scenario texts, and short ways to resolve them or to see why they are refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgesim import yaml_source
from edgesim.document import Document
from edgesim.errors import InputError
from edgesim.scenario import Scenario, resolve, resolve_all

HERE = Path(__file__).parent

BASE = """\
name: small
model: fedavg_cnn
dataset: digits
fleet:
  - {profile: pixel-6, count: 3}
coordination:
  name: synchronous
  clients_per_round: 2
stop: {rounds: 3}
"""

SMALL_NORMS = """\
from torch import nn


def network(num_classes: int) -> nn.Module:
    body = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(54, num_classes))
"""

EVERYTHING = """\
# Does FedPMT finish the task sooner than FedAvg when a third of the fleet is slow?
name: fedpmt-vs-fedavg
seed: {learning: 1, timing: 2}
data_root: ../data
model: {name: mlp, hidden: [200, 100]}
dataset: {name: fashion_mnist, partition: {name: dirichlet, alpha: 0.3, clients: 30}, validation: 0.1}
fleet:
  - {profile: jetson-orin-nano, count: 20, compute: {rate: 5 GFLOP/s, step_overhead: 1 ms, jitter: 0.1}}
  - profile: raspberry-pi-4
    count: 10
    network: lte
    straggler: {slowdown: {dist: lognormal, sigma: 0.5}, probability: 0.1}
    capacity: 2
  - {profile: pixel-6, count: 1, network: {uplink: 3 Mbit/s, downlink: 12 Mbit/s, latency: 20 ms}}
submodel: {name: fedpmt, fit: {target: 30 s}}
selection: uniform
coordination:
  {name: deadline, clients_per_round: 10, over_selection: 1.5, deadline: 2 min, minimum_fraction: 0.5}
aggregation: {name: covered, weights: equal}
training:
  epochs: 2
  batch_size: 16
  optimizer: sgd
  learning_rate: 0.05
  schedule: {name: exponential, decay: 0.99}
  momentum: 0.9
  weight_decay: 1e-4
  clip_norm: 5
  proximal: 0.01
  loss: cross_entropy
evaluate: {every: 60 s, train: true}
stop: {rounds: 60, time: 2 h, dispatches: 1000, target: {accuracy: 0.8}}
execution: {device: cpu, threads: 2, mode: stacked, cohort: 20, memory_format: contiguous, precision: float64}
variants:
  fedavg: {submodel: full}
  fedpmt: {submodel: {depth: 2, fit: null}}
  synchronous:
    coordination: {name: synchronous, clients_per_round: 10}
    selection: all
"""


def document(text: str, folder: Path = HERE) -> Document:
    return Document(yaml_source.parse(text, "x.yaml"), folder / "x.yaml")


def scenario(
    text: str, variant: str | None = None, sets: Sequence[str] = (), seed: int | None = None
) -> Scenario:
    return resolve(document(text), variant, sets, seed).scenario


def refusal(text: str, variant: str | None = None, sets: Sequence[str] = ()) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(document(text), variant, sets)
    return str(caught.value).splitlines()


def refusal_of_all(text: str, sets: Sequence[str] = ()) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve_all(document(text), sets)
    return str(caught.value).splitlines()


def changed(before: str, after: str) -> str:
    assert before in BASE
    return BASE.replace(before, after)


def with_variant(change: str, base: str = BASE) -> str:
    return f"{base}variants:\n  other: {change}\n"
