"""A federation's server as a fold over events: it is told what happened and when, and answers with effects.

It keeps every fact (versions, who is at work, what has arrived, the rows of the tables), asks the policy what
to do and talks to the learner. It owns no clock and starts no process: whoever drives it does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from edgesim.errors import RunFailed
from edgesim.learner import Learner, Order
from edgesim.rng import Streams
from edgesim.server import policy as act
from edgesim.server.effects import Abort, Effect, Finish, SetTimer, Start
from edgesim.server.evaluations import Evaluations
from edgesim.server.events import (
    Abandoned,
    Aggregated,
    Arrived,
    Begin,
    Drained,
    DriverEvent,
    Event,
    Fired,
    Lost,
    Outcome,
    Tag,
    TimerKind,
)
from edgesim.server.plan import EvaluationPlan, StopRule
from edgesim.server.policy import Action, Policy, Selector
from edgesim.server.roster import EverPresent, Presence, Roster, Subset
from edgesim.server.rows import AggregationRows, DispatchRows, Tables
from edgesim.server.view import Progress, View
from edgesim.server.visits import Visits

_PATIENCE = 100  # losses in a row that a small and unlucky fleet is granted


class Server:
    """The one mutable object of a run's timing half.

    Args:
        roster: standing facts of the fleet.
        presence: when its devices are there.
        policy: when.
        selector: who.
        learner: the other half.
        streams: random streams of the timing seed.
        stop: when the run ends.
        evaluation: when the model is evaluated.

    Attributes:
        aggregations: rows of that table so far.
        evaluations: the same of that one.
    """

    def __init__(
        self,
        *,
        roster: Roster,
        presence: Presence | None = None,
        policy: Policy,
        selector: Selector,
        learner: Learner,
        streams: Streams,
        stop: StopRule,
        evaluation: EvaluationPlan,
    ) -> None:
        self._policy = policy
        self._learner = learner
        self.stop = stop
        self._evaluation = evaluation
        self._progress = Progress()
        self._visits = Visits(len(roster))
        self._dispatches = DispatchRows()
        self.aggregations = AggregationRows()
        self.evaluations = Evaluations(learner)
        self.view = View(
            roster,
            presence or EverPresent(),
            stop.dispatches,
            self._progress,
            self._visits,
            self._dispatches,
            selector,
            learner,
            streams,
        )
        self._visits_of: dict[int, int] = {}
        self._timers = 0
        self._wakes: dict[Tag, float] = {}
        self._lost_in_a_row = 0
        self._largest_batch = 0
        self._finished = False
        self._effects: list[Effect] = []
        self._pending: deque[Event] = deque()

    def handle(self, event: DriverEvent, time_s: float) -> list[Effect]:
        """Take in one event and answer with what the driver is to do, in this order.

        Raises:
            RunFailed: no run is possible with this policy, fleet or target; the message says why.
        """
        self._progress.time_s = time_s
        self._effects = []
        if self._finished:
            self._close(event)
        elif self._note(event):
            self._tell(event)
            if not self._visits.busy:
                self._drain()
        return self._effects

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """How many visits came to which outcome so far."""
        return self._dispatches.counts

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the latest evaluation; none where nothing is trained."""
        return self.evaluations.latest

    def finish(self) -> Tables:
        """The tables. Visits still in flight are `unfinished`, updates still held are `discarded`.

        Raises:
            RunFailed: a dispatch has no outcome, or more than one.
        """
        self._refuse(self._visits.all_held(), Outcome.DISCARDED)
        for dispatch in self._visits.all_in_flight():
            self._visits.lose(dispatch)
            self._end(dispatch, Outcome.UNFINISHED)
        self._dispatches.check()
        merged = self._progress.aggregated
        losses = dict(zip(merged, self._learner.losses(merged), strict=True))
        return Tables(
            self._dispatches.table(self.view.roster, losses),
            self.aggregations.table(),
            self.evaluations.table(),
        )

    def _note(self, event: DriverEvent) -> bool:
        """Write down what happened; whether the policy is to hear of it."""
        match event:
            case Arrived():  # without captures, which cost more than all else here: it comes with every visit
                self._visits.arrive(event.dispatch)
                self._dispatches.end(event.dispatch, event.report, self._progress.time_s)
                self._lost_in_a_row = 0
            case Lost(dispatch, outcome, report):
                self._visits.lose(dispatch)
                self._dispatches.end(dispatch, report, self._progress.time_s)
                self._end(dispatch, outcome)
                self._count_loss()
            case Fired(tag, kind):
                return self._fired(tag, kind)
            case Begin():
                self._begin()
        return not self._finished

    def _tell(self, event: Event) -> None:
        """Ask the policy, and go on asking about what its own actions bring about."""
        pending, decide = self._pending, self._policy.decide
        pending.append(event)
        while pending and not self._finished:
            for action in decide(pending.popleft(), self.view):
                self._do(action)
                if self._finished:
                    break

    def _do(self, action: Action) -> None:
        match action:
            case act.Dispatch():  # without captures, as in `_note`
                self._dispatch(list(action.devices), action.tag)
            case act.Aggregate():
                self._aggregate(sorted(action.dispatches))
            case act.Refuse(dispatches, outcome):
                self._refuse(tuple(dispatches), outcome)
            case act.Abandon():
                self._abandon()
            case act.Timer(after_s, tag):
                self._start_timer(after_s, tag)
            case act.Wake(tag, among):
                self._wake(tag, among)
            case act.Cancel(dispatches):
                self._visits.check_in_flight(tuple(dispatches))
                self._effects.append(Abort(tuple(dispatches)))
            case act.Remember(value):
                self._progress.remembered = value
            case act.Stop(reason):
                self._finish(reason)
            case _:
                raise RunFailed(f"coordination: {action!r} is no action of edgesim.server.policy")

    def _dispatch(self, devices: list[int], tag: Tag) -> None:
        remaining = self.view.remaining_dispatches
        if remaining is not None and remaining < len(devices):
            devices = devices[:remaining]
        if not devices:
            return
        self._visits.check_idle(devices)
        orders = self._orders(devices)
        workloads = tuple(self._learner.assign(orders))
        self._visits.send(devices, tag)
        self._dispatches.send(orders, workloads)
        self._progress.sent_in_round += len(devices)
        if len(devices) > self._largest_batch:
            self._largest_batch = len(devices)
        self._effects.append(Start(orders, workloads))

    def _orders(self, devices: list[int]) -> tuple[Order, ...]:
        """The next visits, of these devices."""
        version, time_s, visits_of = self._progress.version, self._progress.time_s, self._visits_of
        orders = []
        for dispatch, device in enumerate(devices, len(self._visits.tags)):
            visit = visits_of.get(device, 0)
            visits_of[device] = visit + 1
            orders.append(Order(dispatch, device, visit, version, time_s))
        return tuple(orders)

    def _aggregate(self, dispatches: list[int]) -> None:
        if not dispatches:
            raise RunFailed("coordination: an aggregation of nothing; abandon the round instead")
        progress, rows, staleness = self._progress, self._dispatches, []
        for dispatch in dispatches:
            self._visits.take(dispatch)
            age = rows.staleness[dispatch] = progress.version - rows.base_version[dispatch]
            staleness.append(age)
            progress.latest[rows.device[dispatch]] = dispatch
        made = self._learner.aggregate(dispatches, staleness, progress.time_s)
        rows.decide(dispatches, Outcome.AGGREGATED)
        progress.aggregated.extend(dispatches)
        progress.version += 1
        self.aggregations.append(progress.time_s, progress.version, staleness, made)
        self._pending.append(Aggregated(progress.version, tuple(dispatches)))
        self._round_over()

    def _abandon(self) -> None:
        self._refuse(self._visits.all_held(), Outcome.DISCARDED)
        self._pending.append(Abandoned(self._progress.rounds))
        self._round_over()

    def _round_over(self) -> None:
        self._progress.rounds += 1
        self._progress.sent_in_round = 0
        if self._evaluation.is_due(self._progress.rounds):
            self._evaluate()
        if self._progress.rounds == self.stop.rounds:
            self._finish("rounds")

    def _refuse(self, dispatches: Sequence[int], outcome: Outcome) -> None:
        for dispatch in dispatches:
            self._visits.take(dispatch)
            self._end(dispatch, outcome)

    def _end(self, dispatch: int, outcome: Outcome) -> None:
        self._dispatches.decide((dispatch,), outcome)
        self._learner.release([dispatch])

    def _begin(self) -> None:
        if self.stop.time_s is not None:
            self._set_timer(self.stop.time_s, 0, TimerKind.LIMIT)
        if self._evaluation.every_s is not None:
            self._set_timer(self._evaluation.every_s, 1, TimerKind.EVALUATION)
        self._evaluate()

    def _fired(self, tag: Tag, kind: TimerKind) -> bool:
        """What the server's own timers do; whether it was one of the policy's."""
        if kind is TimerKind.LIMIT:
            self._finish("time")
        elif kind is TimerKind.EVALUATION:
            assert isinstance(tag, int)
            assert self._evaluation.every_s is not None
            self._set_timer((tag + 1) * self._evaluation.every_s, tag + 1, kind)
            self._evaluate()
        else:
            self._timers -= 1
            if self._wakes.get(tag) == self._progress.time_s:
                del self._wakes[tag]
        return kind is TimerKind.POLICY

    def _start_timer(self, after_s: float, tag: Tag) -> None:
        if not after_s >= 0:
            raise RunFailed(f"coordination: a timer after {after_s} s; timers cannot fire in the past")
        self._timers += 1
        self._set_timer(self._progress.time_s + after_s, tag, TimerKind.POLICY)

    def _wake(self, tag: Tag, among: Subset | None) -> None:
        at_s = self.view.next_presence_s(among)
        if self._progress.time_s < at_s < self._wakes.get(tag, math.inf):
            self._wakes[tag] = at_s
            self._timers += 1
            self._set_timer(at_s, tag, TimerKind.POLICY)

    def _set_timer(self, at_s: float, tag: Tag, kind: TimerKind) -> None:
        self._effects.append(SetTimer(at_s, tag, kind))

    def _evaluate(self) -> None:
        metrics = self.evaluations.evaluate(self._progress.time_s, self._progress.version)
        if self.stop.target is not None and self.stop.target.is_reached(metrics):
            self._finish("target")

    def _count_loss(self) -> None:
        self._lost_in_a_row += 1
        if self._lost_in_a_row <= max(self.view.devices, 2 * self._largest_batch, _PATIENCE):
            return
        counts = ", ".join(f"{outcome} {count}" for outcome, count in self._dispatches.counts.items())
        raise RunFailed(
            f"{self._lost_in_a_row} visits in a row brought no update, up to {self._progress.time_s:g} s "
            f"(so far: {counts}); give the devices smaller sub-models or more memory, or take those out that "
            "never finish"
        )

    def _drain(self) -> None:
        """Nothing is in flight: where nothing is to come the policy may act once more before the end."""
        if self._is_drained():
            self._tell(Drained())
        if self._is_drained():
            self._finish("drained" if self.view.remaining_dispatches != 0 else "dispatches")

    def _is_drained(self) -> bool:
        if self._finished or self._visits.busy:
            return False
        return self._timers == 0 or self.view.remaining_dispatches == 0

    def _finish(self, reason: str) -> None:
        if self._finished:
            return
        self._finished = True
        if not self.evaluations.is_latest(self._progress.time_s, self._progress.version):
            self._evaluate()
        self._effects.append(Finish(reason))

    def _close(self, event: DriverEvent) -> None:
        """After the end: take in how far a visit in flight has come."""
        if isinstance(event, Lost) and event.outcome is Outcome.UNFINISHED:
            self._visits.lose(event.dispatch)
            self._dispatches.end(event.dispatch, event.report, float("nan"))
            self._end(event.dispatch, event.outcome)
