"""Round times and staleness of FedGMR's network constants (algorithms 3.7 and 6.2: R11, R12).

Through server, policy, cost model, topology with multicast and fluid links. What masks weigh is charged by
density: a client of density P downloads and uploads P times the model, in parts that are nested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest

from edgesim.coordination._reference import FastestShare
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.devices.fleet import ComputeOverride, FleetGroup
from edgesim.devices.network import Network, ServerLinks
from edgesim.devices.profile import Catalogue
from edgesim.devices.world import World
from edgesim.learner import Order, Part, Workload
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.server.policy import Policy
from edgesim.server.roster import Roster
from tests.fakes import WORKLOAD, FixedWorkload, Run, simulate

MIB = 2**20
FEMNIST_BYTES = round(25.98 * MIB)
CLASSES = (1.0, 0.5, 0.2, 0.1, 0.05)
CLIENTS = {"high": (1, 1, 1, 1, 6), "medium": (1, 1, 2, 3, 3), "low": (2, 2, 2, 2, 2)}
LEVELS = pytest.mark.parametrize("level", CLIENTS)
GAPS = pytest.mark.parametrize(("gap_s", "round_s"), [(0.0, 8.8), (0.5, 9.3)])
JITTER = 0.3 / np.sqrt(20)
"""Of the logarithm of a client's rate, to first order: the mean of 20 draws of lognormal(0, 0.3)."""


@dataclass
class ByDensity(FixedWorkload):
    """Charges each device its density of the model, in increments that several devices have in common.

    Attributes:
        densities: of each device, from each of these versions on.
    """

    densities: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def assign(self, orders: Sequence[Order]) -> Sequence[Workload]:
        super().assign(orders)
        return [self._of(order) for order in orders]

    def _of(self, order: Order) -> Workload:
        since = max(version for version in self.densities if version <= order.version)
        density = self.densities[since][order.device]
        ladder = sorted({0.0, *self.densities[since]})
        bounds = [round(FEMNIST_BYTES * step) for step in ladder if step <= density]
        parts = [Part(f"{since}: {upper}", upper - lower) for lower, upper in pairwise(bounds)]
        return replace(WORKLOAD, steps=1, parts_down=tuple(parts), bytes_up=bounds[-1], density=density)


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
    level: str, policy: Policy, densities: Mapping[int, Sequence[float]], rounds: int, jitter: float = 0.0
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
        learner=ByDensity(densities=densities),
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


WHOLE = {0: (1.0,) * 10}
FEDAVG = Synchronous(clients_per_round=10)
CLOSED_BY_ALL = SemiAsynchronous(reference=FastestShare(fraction=1.0), grace=0.5)


@LEVELS
def test_a_synchronous_round_of_whole_models_takes_as_long_as_the_slowest_class(level: str) -> None:
    assert mean_round_s(run(level, FEDAVG, WHOLE, rounds=3)) == pytest.approx(130.9, rel=0.05)
    assert mean_round_s(run(level, CLOSED_BY_ALL, WHOLE, rounds=3)) == pytest.approx(130.9, rel=0.001)
    jittery = run(level, FEDAVG, WHOLE, rounds=30, jitter=JITTER)
    assert mean_round_s(jittery) == pytest.approx(130.9, rel=0.15)


@LEVELS
@GAPS
def test_a_round_of_fedgmr_at_initial_densities_is_that_of_its_reference(
    level: str, gap_s: float, round_s: float
) -> None:
    initial = {0: classes(level)}
    found = run(level, fedgmr(gap_s), initial, rounds=10)
    assert np.diff(found.tables.aggregations["time_s"]) == pytest.approx(round_s, rel=0.05)
    assert set(found.tables.aggregations["updates"]) == {10}
    assert set(found.column("staleness")) == {0}
    jittery = run(level, fedgmr(gap_s), initial, rounds=50, jitter=JITTER)
    assert mean_round_s(jittery) == pytest.approx(round_s, rel=0.15)


@LEVELS
def test_synchronous_rounds_of_whole_models_take_fourteen_times_as_long(level: str) -> None:
    for jitter, tolerance in ((0.0, 0.05), (JITTER, 0.15)):
        fedavg = mean_round_s(run(level, FEDAVG, WHOLE, rounds=30, jitter=jitter))
        rounds = run(level, fedgmr(0.5), {0: classes(level)}, rounds=30, jitter=jitter)
        assert fedavg / mean_round_s(rounds) == pytest.approx(14.1, rel=tolerance)


@LEVELS
def test_the_servers_uplink_carries_the_largest_density_once_per_round(level: str) -> None:
    found = run(level, fedgmr(0.5), {0: classes(level)}, rounds=10)
    assert found.simulation.links.books.carried_bits[0] == pytest.approx(10 * 8 * FEMNIST_BYTES)


@GAPS
def test_a_slow_client_with_the_whole_model_is_fourteen_versions_late(gap_s: float, round_s: float) -> None:
    columns = ("device", "dispatched_s", "finished_s", "staleness")
    found = run("high", fedgmr(gap_s), WHOLE, rounds=60)
    assert mean_round_s(found) == pytest.approx(round_s, rel=0.05)
    slow = [row for row in found.visits(*columns) if row[0] > 3 and row[-1] is not None]
    assert len(slow) == 6 * 4
    for _, dispatched_s, finished_s, staleness in slow:
        assert finished_s - dispatched_s == pytest.approx(130.4, rel=0.05)
        assert staleness == pytest.approx(14, abs=1)


@LEVELS
def test_staleness_of_slow_clients_grows_with_their_density(level: str) -> None:
    """The fixed-time ladder: the least density is raised step by step."""
    floors = (0.05, 0.1, 0.2, 0.5, 1.0)
    ladder = {60 * n: [max(floor, c) for c in classes(level)] for n, floor in enumerate(floors)}
    found = run(level, fedgmr(0.5), ladder, rounds=300)
    slow = [device for device, c in enumerate(classes(level)) if c == 0.05]
    ages = {
        floor: {
            age
            for device, density, age in found.visits("device", "density", "staleness")
            if device in slow and density == floor and age is not None
        }
        for floor in floors
    }
    assert ages[0.05] == {0}
    assert ages[1.0] <= {13, 14, 15}
    assert all(max(ages[lower]) < min(ages[higher]) for lower, higher in pairwise(floors))
