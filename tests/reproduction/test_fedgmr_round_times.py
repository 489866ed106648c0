"""Round times and staleness of FedGMR's network constants (algorithms 3.7 and 6.2: R11, R12).

Through strategy, ledger, server, policy, cost model, topology with multicast and fluid links; nothing is
trained. As FedGMR's simulator charges it, a client of density P downloads and uploads P times the model; what
exact bytes make of that stands at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from torch import nn

from edgesim.coordination._reference import FastestShare
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.devices.fleet import ComputeOverride, FleetGroup
from edgesim.devices.network import Network, ServerLinks
from edgesim.devices.profile import Catalogue
from edgesim.devices.world import World
from edgesim.models._structure import ModelStructure, read_structure
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.server.policy import Policy
from edgesim.server.roster import Roster
from edgesim.submodels._submodel import expected
from edgesim.submodels.fedgmr import FedGMR
from edgesim.training.accounting import Charging, LocalWork
from edgesim.training.ledger import Ledger
from edgesim.training.optimizer import Sgd
from tests.fakes import Run, simulate

MIB = 2**20
CLASSES = (1.0, 0.5, 0.2, 0.1, 0.05)
CLIENTS = {"high": (1, 1, 1, 1, 6), "medium": (1, 1, 2, 3, 3), "low": (2, 2, 2, 2, 2)}
LEVELS = pytest.mark.parametrize("level", CLIENTS)
GAPS = pytest.mark.parametrize(("gap_s", "round_s"), [(0.0, 8.8), (0.5, 9.3)])
JITTER = 0.3 / np.sqrt(20)
"""Of the logarithm of a client's rate, to first order: the mean of 20 draws of lognormal(0, 0.3)."""


BY_DENSITY = Charging(mask_bytes=False, by_share=True)
EXACT = Charging(mask_bytes=False)


@cache
def femnist() -> ModelStructure:
    """M6 of algorithms section 2."""
    stages = [
        layer
        for channels, filters in ((1, 32), (32, 64))
        for layer in (nn.Conv2d(channels, filters, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
    ]
    head = [nn.Flatten(), nn.Linear(3136, 2048), nn.ReLU(), nn.Linear(2048, 62)]
    return read_structure(nn.Sequential(*stages, *head), (1, 28, 28))


def books(densities: Sequence[float], charging: Charging) -> Ledger:
    """What devices with these densities are sent, in increments that several have in common."""
    work, samples = LocalWork(epochs=None, steps=1, batch_size=20), np.full(len(densities), 20)
    return Ledger(
        femnist(), FedGMR(), work, Sgd(), samples, np.array(densities), charging=charging, incremental=True
    )


def classes(level: str) -> list[float]:
    """Bandwidth class of each of the ten clients; also its initial density."""
    return [c for c, count in zip(CLASSES, CLIENTS[level], strict=True) for _ in range(count)]


def federation(level: str, jitter: float) -> World:
    """Class c has 20 c MiB/s down and 5 c up and trains for 0.5 s; the server has 50 down and 10 up."""
    groups = [
        FleetGroup(
            profile="raspberry-pi-4",
            count=count,
            network=Network(downlink=f"{20 * c} MiB/s", uplink=f"{5 * c} MiB/s", jitter=jitter),
            compute=ComputeOverride(seconds_per_step="0.5 s"),
        )
        for c, count in zip(CLASSES, CLIENTS[level], strict=True)
    ]
    server = ServerLinks(uplink="10 MiB/s", downlink="50 MiB/s", multicast=True)
    return World.draw(groups, server, [], Catalogue(), Streams(3))


def run(
    level: str,
    policy: Policy,
    densities: Sequence[float],
    rounds: int,
    jitter: float = 0.0,
    charging: Charging = BY_DENSITY,
) -> Run:
    world = federation(level, jitter)
    fleet = world.cost.fleet
    roster = replace(
        Roster.alike(10), profiles=fleet.profiles, group=fleet.group, full_s=1 / np.array(classes(level))
    )
    return simulate(
        world.cost,
        devices=10,
        roster=roster,
        policy=policy,
        selector=All(),
        learner=books(densities, charging),
        stays=world.presence,
        routes=world.topology,
        mishaps=world,
        rounds=rounds,
    )


def mean_round_s(found: Run) -> float:
    """Mean seconds from one aggregation to the next."""
    times_s = found.tables.aggregations["time_s"]
    return float((times_s[-1] - times_s[0]) / (len(times_s) - 1))


def fedgmr(gap_s: float) -> SemiAsynchronous:
    return SemiAsynchronous(reference="fastest", grace=0.5, dispatch_gap=gap_s)


def staleness(found: Run, slow: Sequence[int]) -> set[int]:
    """Ages of the updates of these devices when they were merged."""
    rows = found.visits("device", "staleness")
    return {age for device, age in rows if device in slow and age is not None}


WHOLE = (1.0,) * 10
FEDAVG = Synchronous(clients_per_round=10)
CLOSED_BY_ALL = SemiAsynchronous(reference=FastestShare(fraction=1.0), grace=0.5)


def test_the_model_is_that_of_the_paper() -> None:
    assert femnist().parameters == 6_603_710
    assert sum(FedGMR().assign({}, femnist(), expected(0.1)).mask.kept.values()) == 647_453  # of 6,474,528


@LEVELS
def test_a_synchronous_round_of_whole_models_takes_as_long_as_the_slowest_class(level: str) -> None:
    slowest_s = 4 * femnist().parameters / MIB * (1 + 1 / 0.25) + 0.5
    assert mean_round_s(run(level, FEDAVG, WHOLE, rounds=3)) == pytest.approx(slowest_s, rel=0.001)
    assert mean_round_s(run(level, CLOSED_BY_ALL, WHOLE, rounds=3)) == pytest.approx(
        slowest_s + 0.5, rel=0.001
    )
    assert slowest_s + 0.5 == pytest.approx(130.9, rel=0.05)
    jittery = run(level, FEDAVG, WHOLE, rounds=30, jitter=JITTER)
    assert mean_round_s(jittery) == pytest.approx(130.9, rel=0.15)


@LEVELS
@GAPS
def test_a_round_of_fedgmr_at_initial_densities_is_that_of_its_reference(
    level: str, gap_s: float, round_s: float
) -> None:
    found = run(level, fedgmr(gap_s), classes(level), rounds=10)
    assert np.diff(found.tables.aggregations["time_s"]) == pytest.approx(round_s, rel=0.05)
    assert set(found.tables.aggregations["updates"]) == {10}
    assert set(found.column("staleness")) == {0}
    jittery = run(level, fedgmr(gap_s), classes(level), rounds=50, jitter=JITTER)
    assert mean_round_s(jittery) == pytest.approx(round_s, rel=0.15)


@LEVELS
def test_synchronous_rounds_of_whole_models_take_fourteen_times_as_long(level: str) -> None:
    for jitter, tolerance in ((0.0, 0.05), (JITTER, 0.15)):
        fedavg = mean_round_s(run(level, FEDAVG, WHOLE, rounds=30, jitter=jitter))
        rounds = run(level, fedgmr(0.5), classes(level), rounds=30, jitter=jitter)
        assert fedavg / mean_round_s(rounds) == pytest.approx(14.1, rel=tolerance)


@LEVELS
def test_the_servers_uplink_carries_the_largest_density_once_per_round(level: str) -> None:
    found = run(level, fedgmr(0.5), classes(level), rounds=10)
    model_bits = 32 * femnist().parameters
    assert found.simulation.links.books.carried_bits[0] == pytest.approx(10 * model_bits)


@GAPS
def test_a_slow_client_with_the_whole_model_is_fourteen_versions_late(gap_s: float, round_s: float) -> None:
    columns = ("device", "dispatched_s", "finished_s", "staleness")
    found = run("high", fedgmr(gap_s), WHOLE, rounds=60)
    assert mean_round_s(found) == pytest.approx(round_s, rel=0.05)
    slow = [row for row in found.visits(*columns) if row[0] > 3 and row[-1] is not None]
    assert len(slow) == 6 * 4
    for _, dispatched_s, finished_s, age in slow:
        assert finished_s - dispatched_s == pytest.approx(130.4, rel=0.05)
        assert age == pytest.approx(14, abs=1)


@LEVELS
def test_staleness_of_slow_clients_grows_with_their_density(level: str) -> None:
    """The fixed-time ladder: the least density is raised step by step."""
    slow = [device for device, c in enumerate(classes(level)) if c == 0.05]
    ages = [
        staleness(run(level, fedgmr(0.5), [max(floor, c) for c in classes(level)], rounds=60), slow)
        for floor in CLASSES[::-1]
    ]
    assert ages[0] == {0}
    assert ages[-1] <= {13, 14, 15}
    assert all(max(lower) < min(higher) for lower, higher in pairwise(ages))


def test_with_exact_bytes_the_slowest_class_misses_each_reference_round() -> None:
    """Biases and the last layer are never pruned, so that 5 % of the weights are 6.9 % of the values."""
    found = run("high", fedgmr(0.0), classes("high"), rounds=20, charging=EXACT)
    assert mean_round_s(found) == pytest.approx(8.56, abs=0.005)
    visits = found.visits("device", "density", "dispatched_s", "finished_s", "staleness")
    done = [row for row in visits if row[0] > 3 and row[-1] is not None]
    for _, density, dispatched_s, finished_s, _ in done:
        assert density == pytest.approx(0.069, abs=0.0005)
        assert finished_s - dispatched_s == pytest.approx(9.14, abs=0.005)
    assert staleness(found, range(4, 10)) == {1}
    assert staleness(found, range(4)) == {0}
