"""One run from its scenario to its directory, and the same run folded again under other timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesim.closed_form import closed_form
from edgesim.devices.origins import origins
from edgesim.errors import InputError
from edgesim.experiment import Outcome, check_timing_only, execute
from edgesim.interrupts import deferred
from edgesim.parts import Parts, Shelf, prepare
from edgesim.progress.logs import Record, loggers, recording
from edgesim.progress.moment import results
from edgesim.progress.watch import Watch
from edgesim.reports import citations
from edgesim.results.data_split import data_split_table
from edgesim.results.devices import device_table
from edgesim.results.directory import LOG, RunDirectory
from edgesim.results.participation import participation_table
from edgesim.results.run import PAPERS, RunResult, manifest
from edgesim.results.summary import Context, summarise
from edgesim.results.tables import frame
from edgesim.retiming import RETIMED_FROM, record, replay, rescheduled
from edgesim.scenario import Experiment, Scenario
from edgesim.simulation.clock import PacedClock
from edgesim.simulation.engine import Simulation
from edgesim.task import Options, directory_of


def run(experiment: Experiment, options: Options, watch: Watch, shelf: Shelf) -> tuple[Path, RunResult]:
    """Prepare, run and write; the directory and what is in it.

    Args:
        experiment: what to run.
        options: of the command.
        watch: looks at the run as it goes.
        shelf: as of `prepare`.

    Raises:
        InputError: something in the scenario or the options is wrong; nothing was written.
        RunFailed: the run could not be completed; its manifest says so.
    """
    path = directory_of(experiment, options)
    RunDirectory.check(path, overwrite=options.overwrite)
    with deferred() as check_interrupt:
        return path, _run_prepared(experiment, options, watch, shelf, path, check_interrupt)


def _run_prepared(
    experiment: Experiment,
    options: Options,
    watch: Watch,
    shelf: Shelf,
    path: Path,
    check_interrupt: Callable[[], None],
) -> RunResult:
    chosen = loggers(options.log, experiment.path.parent)
    parts = prepare(experiment, download=options.download, shelf=shelf)
    if options.timing_only:
        _check_timing_only(experiment)
    header = manifest(
        scenario=parts.scenario.name,
        variant=experiment.variant,
        seed=parts.scenario.seeds.model_dump(),
        device=parts.scenario.execution.device,
        timing_only=options.timing_only,
    )
    header[PAPERS] = citations.to_json(citations.behind([parts.scenario]))
    with RunDirectory(path, header, overwrite=options.overwrite) as directory:
        with recording(chosen, path / LOG) as record:
            outcome = _execute(parts, options, watch, record, check_interrupt)
        result = _result(experiment, parts, outcome, header)
        directory.finish(result)
    return replace(result, manifest={**header, "status": "finished"})


def _check_timing_only(experiment: Experiment) -> None:
    try:
        check_timing_only(experiment.scenario)
    except InputError as error:
        raise experiment.placed(error) from error


def _execute(
    parts: Parts, options: Options, watch: Watch, record: Record, check_interrupt: Callable[[], None]
) -> Outcome:
    """As fast as can be, or played at a speed; between two events Ctrl-C is let through."""

    def progress(simulation: Simulation) -> None:
        check_interrupt()
        record(simulation.server)
        watch.after_event(simulation)

    def meanwhile() -> None:
        check_interrupt()
        watch.meanwhile()

    clock = None if options.realtime is None else PacedClock(options.realtime, meanwhile)
    return execute(parts, timing_only=options.timing_only, progress=progress, clock=clock)


def _result(experiment: Experiment, parts: Parts, outcome: Outcome, header: Mapping[str, Any]) -> RunResult:
    scenario = parts.scenario
    tables = {name: frame(name, columns) for name, columns in outcome.tables.items()}
    fleet = parts.fleet
    end_s = float(tables["evaluations"]["time_s"].max())
    tables["devices"] = device_table(
        tables["dispatches"], end_s, fleet.idle_w, lambda devices: outcome.present_s(devices, 0.0, end_s)
    )
    devices = {
        profile: sum(group.count for group in scenario.fleet if group.device_type == profile)
        for profile in dict.fromkeys(fleet.profiles)
    }
    timed = scenario.cost.name == "measured"
    tables["origins"] = frame("origins", origins(scenario.fleet, experiment.catalogue, timed=timed))
    tables["participation"] = participation_table(tables["dispatches"], devices)
    if not scenario.dataset.functions:
        split = data_split_table(fleet.profile_of, parts.shards, parts.data.train_y[parts.pool])
        tables |= {} if split is None else {"data_split": split}
    expected = closed_form(parts, outcome)
    tables |= {} if expected is None else {"closed_form": frame("closed_form", expected)}
    context = Context(
        reason=outcome.reason,
        target={str(metric): value for metric, value in (scenario.stop.target or {}).items()} or None,
        wall_s=outcome.wall_s,
        devices=devices,
        notes=outcome.notes,
    )
    summary = summarise(tables, context)
    return RunResult(_written(experiment, scenario), dict(header), summary, tables, outcome.weights)


def _written(experiment: Experiment, scenario: Scenario) -> str:
    """The scenario as resolved, under the question that its file asks."""
    question = experiment.source.question
    return f"# {question}\n{scenario.to_yaml()}" if question else scenario.to_yaml()


def one_line(result: RunResult) -> str:
    """How a run ended, in a line."""
    summary = result.summary
    wall_s = summary["wall_s"]["total"]
    took = f"{summary['virtual_s']:.1f} s of virtual time in {wall_s:.1f} s ({summary['reason']})"
    return f"{took}, {results(summary['outcomes'])}"


def retime_run(source: Path, options: Options) -> tuple[Path, RunResult]:
    """Fold a finished run again under overrides of its timing, into a directory of its own.

    Raises:
        InputError: the run's weights depend on time, or an override concerns learning; nothing was written.
        RunFailed: the run could not be completed.
    """
    recording = record(source, download=options.download)
    experiment, parts = rescheduled(recording, options.overrides)
    path = directory_of(experiment, options)
    RunDirectory.check(path, overwrite=options.overwrite)
    before = recording.result.manifest
    header = manifest(
        scenario=before["scenario"],
        variant=before["variant"],
        seed=parts.scenario.seeds.model_dump(),
        device=before["device"],
        timing_only=before["timing_only"],
    )
    header |= {key: before[key] for key in (PAPERS,) if key in before}
    header[RETIMED_FROM] = {"sha256": recording.digest(), "set": list(options.overrides)}
    outcome = replay(recording, parts)
    result = _result(experiment, parts, outcome, header)
    with RunDirectory(path, header, overwrite=options.overwrite) as directory:
        directory.finish(result)
    return path, replace(result, manifest={**header, "status": "finished"})
