"""The timeline of a finished run on other devices, networks or rates, without training again.

Where the weights do not depend on how long visits take, the run is folded once more with a learner that
answers from the tables: every device keeps the capacity that it had, and every version its metrics.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesim import registry, yaml_source
from edgesim.devices.availability import Always
from edgesim.document import Document, assigned
from edgesim.errors import InputError, Problem
from edgesim.experiment import Outcome, fold
from edgesim.learner import Aggregation, Order, Workload
from edgesim.parts import Parts, Shelf, prepare
from edgesim.results.run import SCENARIO, TABLES, RunResult, read
from edgesim.scenario import Experiment, Scenario, resolve
from edgesim.seconds import world_of
from edgesim.sections import ExecutionOptions
from edgesim.server.events import Outcome as VisitOutcome
from edgesim.training.ledger import Ledger

RETIMED_FROM = "retimed_from"
"""Key of the manifest of a re-timed run."""

_ENDS = ("rounds", "dispatches", "target")  # reasons that do not depend on time
_NOTE = "re-timed: sub-models, weights and metrics are those of the run as it was trained"
_TIMING_KEYS = (
    "a fleet entry's profile or population, network, cell, compute, straggler, slow_devices, load and "
    "throttling, server, or seed.timing"
)


@dataclass(frozen=True)
class Recording:
    """A finished run with what is needed to fold it again.

    Attributes:
        path: of the run directory.
        result: what the run left behind.
        experiment: its resolved scenario.
        parts: as they were built for it; only the cost model is to be replaced.
    """

    path: Path
    result: RunResult
    experiment: Experiment
    parts: Parts

    def digest(self) -> str:
        """What tells this run from any other, wherever its directory lies (SHA-256)."""
        found = hashlib.sha256()
        for name in (SCENARIO, *sorted(TABLES[table] for table in self.result.tables)):
            found.update((self.path / name).read_bytes())
        return found.hexdigest()


def record(
    path: Path, beside: Path | None = None, *, download: bool = False, shelf: Shelf | None = None
) -> Recording:
    """Read a finished run and build the parts of its scenario.

    Args:
        path: the run directory.
        beside: folder of the scenario's own profiles, modules and data; the run directory if absent.
        download: fetch the data set if it is not there.
        shelf: as of `prepare`.

    Raises:
        InputError: there is no finished run, or its weights depend on time: the message says why.
    """
    result = read(path)
    document = Document(yaml_source.read(path / SCENARIO), (beside or path.resolve()) / SCENARIO)
    experiment = replace(resolve(document), variant=str(result.manifest["variant"]))
    problems = [replace(problem, place=str(path)) for problem in _obstacles(experiment.scenario, result)]
    if problems:
        raise InputError(*problems)
    # On which device it was trained does not matter here, and there may be none of its kind.
    anywhere = experiment.scenario.model_copy(update={"execution": ExecutionOptions()})
    parts = prepare(replace(experiment, scenario=anywhere), download=download, shelf=shelf)
    return Recording(path, result, experiment, replace(parts, scenario=_untimed(experiment.scenario)))


def rescheduled(recording: Recording, overrides: Sequence[str]) -> tuple[Experiment, Parts]:
    """The experiment with changes that time alone feels, and the recorded parts with the cost model of it.

    Raises:
        InputError: a change concerns learning, or is none of a scenario.
    """
    before = recording.experiment
    source = assigned(before.source, ("seed",), before.scenario.seeds.model_dump(), SCENARIO)
    experiment = replace(resolve(Document(source, before.path), None, overrides), variant=before.variant)
    after = experiment.scenario
    keys = list(_changes_of_learning(before.scenario, after))
    if keys:
        remedy = f"re-timing changes {_TIMING_KEYS}; for anything else run the scenario again"
        raise InputError(*(Problem(f"changes what is learnt; {remedy}", key) for key in keys))
    world = world_of(after, experiment.catalogue)
    return experiment, replace(recording.parts, scenario=_untimed(after), world=world)


def replay(recording: Recording, parts: Parts) -> Outcome:
    """Fold a recorded run with the cost model of these parts.

    Raises:
        InputError: other devices would be sent out or merged than in the run.
        RunFailed: the run cannot be completed.
    """
    result = recording.result
    outcome = fold(parts, _Recorded(parts, result, parts.ledger.fresh()))
    return replace(outcome, weights=result.weights, notes=(_NOTE, *outcome.notes))


def _untimed(scenario: Scenario) -> Scenario:
    """Without the time limit, which would cut off slower devices: the run ends at the version it ended at."""
    return scenario.model_copy(update={"stop": scenario.stop.model_copy(update={"time": None})})


def time_dependence(scenario: Scenario) -> Iterator[Problem]:
    """What would make other weights at another pace, or cannot be known without training."""
    if scenario.coordination.weights_depend_on_time:
        name = registry.name_of(scenario.coordination)
        yield Problem(f'"{name}" merges by arrival: at another pace other weights come out', "coordination")
    if scenario.selection.depends_on_time:
        name = registry.name_of(scenario.selection)
        yield Problem(f'"{name}" may choose other devices at another pace', "selection")
    for number, group in enumerate(scenario.fleet):
        if not isinstance(group.availability, Always):
            what = "at another pace others would be present"
            yield Problem(f"lets devices leave: {what}", f"fleet[{number}].availability")
        if group.battery is not None:
            yield Problem("may run down at another pace", f"fleet[{number}].battery")
        if group.failures is not None:
            what = "slower devices would fail more often"
            yield Problem(f"is per time of work: {what}", f"fleet[{number}].failures")
    if scenario.faults:
        yield Problem("hit other visits at another pace", "faults")
    if scenario.growth.depends_on_time or scenario.growth.needs_accuracy:
        name = registry.name_of(scenario.growth)
        yield Problem(f'"{name}" may raise capacities at other versions at another pace', "growth")
    if scenario.submodel.costs_need_weights and scenario.cost.sparse_speedup:
        name = registry.name_of(scenario.submodel)
        what = f'makes seconds depend on the weights under "{name}", and those are not recorded'
        yield Problem(what, "cost.sparse_speedup")


def _obstacles(scenario: Scenario, result: RunResult) -> Iterator[Problem]:
    """Why this run cannot be re-timed."""
    if RETIMED_FROM in result.manifest:
        yield Problem(
            "is re-timed itself, and its capacities are not those of its devices; give the trained run"
        )
    yield from time_dependence(scenario)
    reason = result.summary["reason"]
    if reason not in _ENDS:
        yield Problem(
            f"the run ended by {reason}, at another pace at another version; end it by rounds", "stop"
        )
    evaluated, merged = set(result.tables["evaluations"]["version"]), len(result.tables["aggregations"])
    if scenario.evaluate.every.seconds is not None and len(evaluated) <= merged:
        yield Problem(
            f"is by time, and only {len(evaluated)} of {merged + 1} versions were evaluated; "
            "run it with evaluate.every: 1 round",
            "evaluate.every",
        )


def _changes_of_learning(before: Scenario, after: Scenario) -> Iterator[str]:
    """Keys in which two scenarios differ and that are not about time alone."""
    for key in type(before).model_fields:
        if key not in ("fleet", "server", "seed") and getattr(before, key) != getattr(after, key):
            yield key
    if before.seeds.learning != after.seeds.learning:
        yield "seed.learning"
    if len(before.fleet) != len(after.fleet):
        yield "fleet"
        return
    for number, (old, new) in enumerate(zip(before.fleet, after.fleet, strict=True)):
        for key in ("count", "capacity", "availability", "failures", "battery"):
            if getattr(old, key) != getattr(new, key):
                yield f"fleet[{number}].{key}"


@dataclass
class _Recorded:
    """A learner that answers from the tables of a run, and refuses to answer for another one."""

    parts: Parts
    result: RunResult
    ledger: Ledger
    version: int = 0
    _rows: Mapping[str, Sequence[Any]] = field(init=False)
    _metrics: dict[int, dict[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        tables = self.result.tables
        self._rows = {str(name): column.tolist() for name, column in tables["dispatches"].items()}
        self._metrics = {
            int(row["version"]): {
                str(name): value
                for name, value in row.items()
                if name not in ("time_s", "version") and not math.isnan(value)
            }
            for row in tables["evaluations"].to_dict("records")
        }

    def assign(self, orders: Sequence[Order]) -> list[Workload]:
        """Fix the workloads, which have to be those of the run."""
        workloads = self.ledger.assign(orders)
        for order, workload in zip(orders, workloads, strict=True):
            self._check(order, workload)
        return workloads

    def _check(self, order: Order, workload: Workload) -> None:
        rows, row = self._rows, order.dispatch
        if row >= len(rows["device"]) or rows["device"][row] != order.device:
            raise InputError(
                f"dispatch {row} would go to device {order.device}, and in the run it did not: the selection "
                "draws by seed.timing, so leave that as it is (selection: all does not draw)"
            )
        if (rows["submodel"][row], rows["density"][row]) != (workload.submodel, workload.density):
            raise InputError(
                f"device {order.device} trained {rows['submodel'][row]} in the run, and would now be given "
                f"{workload.submodel}: the device profiles have changed since; run the scenario again"
            )

    def aggregate(self, dispatches: Sequence[int], staleness: Sequence[int], time_s: float) -> Aggregation:
        """Count, if the run merged these too."""
        for dispatch in dispatches:
            if self._rows["outcome"][dispatch] != VisitOutcome.AGGREGATED:
                raise self._other_memory(dispatch, "did not fit in the run, but does fit")
        self.version += 1
        return self.ledger.aggregate(dispatches, staleness, time_s)

    def release(self, dispatches: Sequence[int]) -> None:
        """Forget, if the run did not merge these either."""
        for dispatch in dispatches:
            if self._rows["outcome"][dispatch] == VisitOutcome.AGGREGATED:
                raise self._other_memory(dispatch, "was merged in the run, but does not fit")
        self.ledger.release(dispatches)

    def _other_memory(self, dispatch: int, what: str) -> InputError:
        assignment, fleet = self.ledger.open[dispatch], self.parts.fleet
        device = assignment.order.device
        needed = assignment.workload.memory_bytes
        return InputError(
            Problem(
                f"{assignment.workload.submodel} needs {needed / 1e6:.4g} MB; it {what} in the "
                f"{fleet.memory_bytes[device] / 1e6:.4g} MB of {fleet.profile_of(device)}: other updates "
                "would be merged; run the scenario again",
                f"fleet[{fleet.group[device]}]",
            )
        )

    def losses(self, dispatches: Sequence[int]) -> list[float | None]:
        """As recorded."""
        found = [float(self._rows["train_loss"][dispatch]) for dispatch in dispatches]
        return [None if math.isnan(loss) else loss for loss in found]

    def evaluate(self) -> dict[str, float]:
        """As recorded for this version."""
        if self.version not in self._metrics:
            raise InputError(
                f"version {self.version} was never evaluated in the run; run it with evaluate.every: 1 round"
            )
        return dict(self._metrics[self.version])

    @property
    def finished(self) -> bool:
        """Never before the run did."""
        return False

    def tables(self) -> dict[str, Mapping[str, Sequence[object]]]:
        """Columns of the ledger's tables; updates diverge as they did."""
        recorded = self.result.tables.get("divergence")
        columns = {} if recorded is None else {str(name): list(column) for name, column in recorded.items()}
        known = {"divergence": columns} if columns else {}
        return {**self.ledger.tables(), **known}
