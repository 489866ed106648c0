"""Stand-ins for the halves that a test is not about, and the shortest way to a run of the timing half."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgesim.coordination.synchronous import Synchronous
from edgesim.devices.cost import Demands, Phases
from edgesim.devices.speed import Speed
from edgesim.learner import Aggregation, Operator, Order, Part, Workload
from edgesim.rng import Streams
from edgesim.selection.uniform import Uniform
from edgesim.server.events import Event
from edgesim.server.plan import EvaluationPlan, StopRule
from edgesim.server.policy import Action, Policy, Selector
from edgesim.server.roster import Presence, Roster
from edgesim.server.rows import Tables
from edgesim.server.server import Server
from edgesim.server.view import View
from edgesim.simulation.clock import Clock
from edgesim.simulation.engine import Cost, Observer, Simulation
from edgesim.simulation.surroundings import CALM, Mishaps, Routes, Stays

WORKLOAD = Workload(
    shape="fixed",
    forward_flops=1_000_000,
    backward_flops=2_000_000,
    operators=(Operator("matmul", 300_000, 1_000, 1),),
    parts_down=(Part("model", 1_000_000),),
    bytes_up=500_000,
    memory_bytes=1_000_000,
    samples=100,
    steps=10,
    submodel="full",
    density=1.0,
)


@dataclass
class FixedWorkload:
    """A learner that charges one workload for every visit and holds its caller to the laws of `Learner`.

    Attributes:
        workload: what every visit costs.
        metrics: what `evaluate` answers, given the version; nothing where absent, as nothing is trained.
        loss: the training loss of an aggregated visit.
        calls: how often each method was called.
    """

    workload: Workload = WORKLOAD
    metrics: Callable[[int], Mapping[str, float]] = lambda version: {}  # noqa: ARG005
    loss: Callable[[Order], float | None] = lambda order: None  # noqa: ARG005
    calls: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)
    version: int = 0
    open: dict[int, Order] = field(default_factory=dict)
    aggregated: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    def assign(self, orders: Sequence[Order]) -> Sequence[Workload]:
        self.calls["assign"] += 1
        for order in orders:
            assert order.dispatch == len(self.open) + len(self.aggregated) + len(self.released)
            assert order.version == self.version
            self.open[order.dispatch] = order
            self.orders.append(order)
        return [self.workload] * len(orders)

    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:
        self.calls["aggregate"] += 1
        assert list(dispatches) == sorted(dispatches), "updates are folded in dispatch order"
        for dispatch, age in zip(dispatches, staleness, strict=True):
            order = self.open.pop(dispatch)  # a KeyError: named before, or never assigned
            assert age == self.version - order.version
            assert order.time_s <= time_s
            self.aggregated.append(dispatch)
        self.version += 1
        work = self.workload
        return Aggregation(len(dispatches), work.density, work.kept, covered_fraction=1.0)

    def release(self, dispatches: Sequence[int]) -> None:
        self.calls["release"] += 1
        for dispatch in dispatches:
            del self.open[dispatch]
            self.released.append(dispatch)

    def losses(self, dispatches: Sequence[int]) -> Sequence[float | None]:
        self.calls["losses"] += 1
        assert set(dispatches) <= set(self.aggregated), "losses of aggregated visits only"
        return [self.loss(self.orders[dispatch]) for dispatch in dispatches]

    def evaluate(self) -> Mapping[str, float]:
        self.calls["evaluate"] += 1
        return self.metrics(self.version)


_NONE, _ONE = np.zeros(1), np.ones(1)
STEADY = Speed(Streams(0), np.zeros(1, dtype=np.int32), _NONE, _ONE, _ONE, _NONE, _ONE, _ONE)
"""Devices of one entry that always work at their nominal speed."""


@dataclass(frozen=True)
class TabledCost:
    """Seconds of each visit by formula: `(device, visit) -> (download_s, compute_s, upload_s)`.

    Attributes:
        seconds: the formula.
        too_small: devices without the memory to train.
        watts: power in every phase; NaN: unknown.
    """

    seconds: Callable[[int, int], tuple[float, float, float]]
    too_small: frozenset[int] = frozenset()
    watts: float = 2.0

    speed: ClassVar[Speed] = STEADY
    rates: ClassVar[None] = None

    def demands(
        self, workloads: Sequence[Workload], devices: NDArray[np.int64], visits: NDArray[np.int64]
    ) -> Demands:
        assert len(workloads) == len(devices) == len(visits)
        seconds = [self.seconds(int(d), int(v)) for d, v in zip(devices, visits, strict=True)]
        download_s, compute_s, upload_s = np.array(seconds, dtype=np.float64).reshape(-1, 3).T
        fits = np.array([int(device) not in self.too_small for device in devices])
        one, watts = np.ones(len(devices)), np.full(len(devices), self.watts)
        power = (watts, 0 * one, watts, watts, 0 * one)
        return Demands(devices, visits, 0 * one, download_s, one, compute_s, upload_s, one, fits, *power)

    def demand(self, workload: Workload, device: int, visit: int) -> Demands:
        return self.demands([workload], np.array([device]), np.array([visit])).row(0)

    def phases(
        self,
        demands: Demands,
        start_s: NDArray[np.float64],  # noqa: ARG002
        heat: NDArray[np.float64],  # noqa: ARG002
    ) -> Phases:
        return demands.phases()

    def basis(self, workload: Workload, device: int) -> str:  # noqa: ARG002
        return "tabled"


def computing(*seconds: float) -> TabledCost:
    """Device i computes for so many seconds; its transfers take no time."""
    return TabledCost(lambda device, visit: (0.0, seconds[device], 0.0))  # noqa: ARG005


@dataclass
class Recording:
    """A policy that writes down which events another one is told."""

    inner: Policy
    heard: list[tuple[float, Event]] = field(default_factory=list)
    reads_loss: ClassVar[bool] = False

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        self.heard.append((view.time_s, event))
        return self.inner.decide(event, view)


class Script:
    """A policy that answers each event with its next line, and with nothing after the last."""

    reads_loss: ClassVar[bool] = False

    def __init__(self, *lines: Sequence[Action] | Callable[[View], Sequence[Action]]) -> None:
        self.lines = list(lines)
        self.heard: list[Event] = []

    def decide(self, event: Event, view: View) -> Sequence[Action]:
        self.heard.append(event)
        if not self.lines:
            return []
        line = self.lines.pop(0)
        return line(view) if callable(line) else line


@dataclass
class Run:
    """A run of the timing half that has ended."""

    reason: str
    tables: Tables
    learner: FixedWorkload
    server: Server
    simulation: Simulation

    def visits(self, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of the dispatch table, a tuple per visit."""
        return list(zip(*(self.tables.dispatches[column] for column in columns), strict=True))

    def column(self, name: str) -> list[Any]:
        """One column of the dispatch table."""
        return self.tables.dispatches[name]


@dataclass(frozen=True)
class Shifts:
    """Device i is there for the first `on_s` of every `period_s` seconds, later by `delay_s[i]`.

    Attributes:
        delay_s: per device; infinite for one that is never there.
    """

    on_s: float
    period_s: float
    delay_s: Sequence[float]
    always: ClassVar[bool] = False

    def present(self, devices: NDArray[np.int64], at_s: float) -> NDArray[np.bool_]:
        return self.next_s(devices, at_s) == at_s

    def next_s(self, devices: NDArray[np.int64], at_s: float) -> NDArray[np.float64]:
        return np.array([self._next_s(self.delay_s[device], at_s) for device in devices.tolist()])

    def first_s(self, devices: NDArray[np.int64], at_s: float) -> float:
        return float(self.next_s(devices, at_s).min(initial=math.inf))

    def _next_s(self, delay_s: float, at_s: float) -> float:
        if math.isinf(delay_s):
            return math.inf
        since_s = (at_s - delay_s) % self.period_s
        return at_s if since_s < self.on_s else at_s + self.period_s - since_s


def one_entry_each(devices: int) -> Roster:
    """Device i is the only one of fleet entry i, `profile-i`."""
    names = tuple(f"profile-{device}" for device in range(devices))
    return replace(Roster.alike(devices), profiles=names, group=np.arange(devices, dtype=np.int32))


def simulate(
    cost: Cost,
    *,
    devices: int,
    policy: Policy | None = None,
    selector: Selector | None = None,
    learner: FixedWorkload | None = None,
    seed: int = 1,
    evaluation: EvaluationPlan | None = None,
    observer: Observer | None = None,
    progress: Callable[[Simulation], None] | None = None,
    roster: Roster | None = None,
    presence: Presence | None = None,
    stays: Stays = CALM,
    routes: Routes = CALM,
    mishaps: Mishaps = CALM,
    clock: Clock | None = None,
    **stop: Any,
) -> Run:
    """Run the timing half to its end; `stop` are the fields of `StopRule`, one round where there are none.

    `progress` is an observer that is told of the simulation itself.
    """
    learner = learner or FixedWorkload()
    server = Server(
        roster=roster or one_entry_each(devices),
        presence=presence or stays,
        policy=policy or Synchronous(clients_per_round=devices),
        selector=selector or Uniform(),
        learner=learner,
        streams=Streams(seed),
        stop=StopRule(**(stop or {"rounds": 1})),
        evaluation=evaluation or EvaluationPlan(),
    )
    if progress is not None:
        observer = lambda _time_s, _event: progress(simulation)  # noqa: E731
    simulation = Simulation(server, cost, observer, stays=stays, routes=routes, mishaps=mishaps, clock=clock)
    reason = simulation.run()
    return Run(reason, server.finish(), learner, server, simulation)
