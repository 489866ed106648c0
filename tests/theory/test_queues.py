"""Closed forms seen through whole runs of server and engine, within three standard errors over replications.

Elsewhere: the links alone as M/G/1-PS (tests/simulation/test_links.py), synchronous rounds as harmonic
numbers and deadline rounds as order statistics (tests/coordination/test_synchronous.py, test_deadline.py),
mean staleness (tests/coordination/test_buffered.py), the law of presence itself
(tests/devices/test_availability.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, sqrt
from typing import ClassVar

import numpy as np
import pytest

from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.devices.availability import Markov
from edgesim.devices.fleet import FleetGroup
from edgesim.devices.network import Direction
from edgesim.devices.presence import Presence
from edgesim.rng import Streams
from edgesim.selection.all import All
from edgesim.server.events import Begin, Event, Fired
from edgesim.server.policy import Action, Dispatch, Policy, Timer
from edgesim.server.view import View
from edgesim.simulation.surroundings import Calm
from tests.fakes import Run, TabledCost, computing, simulate


def within_three_standard_errors(values: Sequence[float], expected: float) -> bool:
    found = np.asarray(values)
    return bool(abs(found.mean() - expected) <= 3 * found.std(ddof=1) / sqrt(len(found)))


# --------------------------------------------------------------------------------- uploads share a link

LOAD, VISITS, WARM, REPLICATIONS = 0.5, 500, 100, 16
SIZES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "exponential": lambda rng: rng.exponential(1.0, VISITS),
    "nine in ten small": lambda rng: np.where(rng.random(VISITS) < 0.9, 0.5, 5.5),
}


class ServerDownlink(Calm):
    """All uploads share one link, which sends an upload of mean size in a second."""

    capacities_bps: tuple[float, ...] = (1.0,)

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:  # noqa: ARG002
        return (0,) if direction == "up" else ()


@dataclass
class TimedDispatches:
    """Sends device n out at the n-th of these times.

    Attributes:
        times_s: ascending.
        met: how many each dispatch found in flight.
    """

    times_s: Sequence[float]
    met: list[int] = field(default_factory=list)
    reads_loss: ClassVar[bool] = False

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        match event:
            case Begin():
                return [Timer(at_s, number) for number, at_s in enumerate(self.times_s)]
            case Fired(int(number)):
                self.met.append(len(view.in_flight(0)))
                return [Dispatch([number], 0)]
        return []


def replication(law: str, seed: int) -> tuple[float, float, float]:
    """Mean seconds of an upload, mean number that a dispatch finds in flight, and dispatches per second."""
    rng = np.random.default_rng([seed, sorted(SIZES).index(law)])
    policy = TimedDispatches(np.cumsum(rng.exponential(1 / LOAD, VISITS)).tolist())
    sizes = SIZES[law](rng).tolist()
    cost = TabledCost(lambda device, visit: (0.0, 0.0, sizes[device]))  # noqa: ARG005
    run = simulate(cost, devices=VISITS, policy=policy, routes=ServerDownlink(), time_s=1e9)
    seconds = policy.times_s[-1] - policy.times_s[WARM]
    return (
        float(np.mean(run.column("upload_s")[WARM:])),
        float(np.mean(policy.met[WARM:])),
        (VISITS - WARM) / seconds,
    )


@pytest.fixture(scope="module", params=SIZES)
def uploads(request: pytest.FixtureRequest) -> np.ndarray:
    """Sojourn, number met and rate of arrivals, [3, replications]."""
    return np.array([replication(request.param, seed) for seed in range(REPLICATIONS)]).T


def test_mean_upload_is_that_of_processor_sharing_whatever_the_sizes(uploads: np.ndarray) -> None:
    """M/G/1-PS: E[S] / (1 - load)."""
    sojourn_s, _, _ = uploads
    assert within_three_standard_errors(sojourn_s, 1 / (1 - LOAD))


def test_visits_in_flight_follow_littles_law(uploads: np.ndarray) -> None:
    """What Poisson arrivals meet is the mean over time, and that is their rate times what a visit takes."""
    sojourn_s, met, per_second = uploads
    assert within_three_standard_errors(met - per_second * sojourn_s, 0)
    assert within_three_standard_errors(met, LOAD / (1 - LOAD))


# ------------------------------------------------------------------------ devices come and go while they work

ON_S, OFF_S, WORK_S, DEVICES = 30.0, 60.0, 20.0, 40


def coming_and_going(seed: int, policy: Policy, devices: int, interrupted: str, **stop: float) -> Run:
    """Devices that are present for ON_S and absent for OFF_S in the mean, and visits of WORK_S."""
    group = FleetGroup(
        profile="raspberry-pi-4",
        count=devices,
        availability=Markov(on=ON_S, off=OFF_S, interrupted=interrupted),
    )
    presence = Presence.draw([group], Streams(seed))
    cost = computing(*[WORK_S] * devices)
    return simulate(cost, devices=devices, policy=policy, selector=All(), stays=presence, seed=seed, **stop)


def first_rounds(interrupted: str) -> list[Run]:
    policy = Synchronous(clients_per_round=DEVICES)
    return [coming_and_going(seed, policy, DEVICES, interrupted, rounds=1) for seed in range(60)]


def test_a_round_finds_those_present_and_loses_those_who_leave() -> None:
    """Present: on / (on + off). Of windows that last exponential times exp(-work / on) outlast a visit."""
    runs = first_rounds("drop")
    sent = [len(run.column("outcome")) / DEVICES for run in runs]
    assert within_three_standard_errors(sent, ON_S / (ON_S + OFF_S))
    kept = [run.column("outcome").count("aggregated") for run in runs]
    lost = [run.column("outcome").count("dropped") for run in runs]
    excess = [k - (k + n) * exp(-WORK_S / ON_S) for k, n in zip(kept, lost, strict=True)]
    assert within_three_standard_errors(excess, 0)


def test_who_leaves_is_lost_after_the_mean_of_a_window_that_is_cut_short() -> None:
    spent_s = [
        end - begin
        for run in first_rounds("drop")
        for begin, end, outcome in run.visits("dispatched_s", "finished_s", "outcome")
        if outcome == "dropped"
    ]
    survival = exp(-WORK_S / ON_S)
    assert within_three_standard_errors(spent_s, ON_S - WORK_S * survival / (1 - survival))


def test_who_pauses_is_away_once_per_window_of_work() -> None:
    """Interruptions come at rate 1 / on of work, and each lasts off in the mean."""
    paused_s = [np.mean(run.column("paused_s")) for run in first_rounds("pause")]
    assert within_three_standard_errors(paused_s, WORK_S / ON_S * OFF_S)


def test_devices_deliver_as_often_as_alternating_renewal_says() -> None:
    """Whole visits in a window are geometric: 1 / (exp(work / on) - 1) of them per on + off seconds."""
    warm_s, until_s, devices = 200.0, 1_100.0, 16
    rates = []
    for seed in range(10):
        run = coming_and_going(seed, Asynchronous(concurrency=devices), devices, "drop", time_s=until_s)
        ends = run.visits("finished_s", "outcome")
        merged = sum(outcome == "aggregated" and end_s >= warm_s for end_s, outcome in ends)
        rates.append(merged / (until_s - warm_s) / devices)
    assert within_three_standard_errors(rates, 1 / ((exp(WORK_S / ON_S) - 1) * (ON_S + OFF_S)))
