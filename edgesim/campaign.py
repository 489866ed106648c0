"""Runs with their directories: one, or the variants of a scenario over seeds in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.closed_form import closed_form
from edgesim.devices.origins import origins
from edgesim.document import Document, Given, open_document
from edgesim.errors import InputError, Problem
from edgesim.experiment import Outcome, check_timing_only, execute
from edgesim.interrupts import deferred
from edgesim.parts import Parts, Shelf, prepare
from edgesim.planning import VariantPlan, plan
from edgesim.progress.display import Start, display, share_of
from edgesim.progress.logs import Record, loggers, recording
from edgesim.progress.moment import Moment, results
from edgesim.progress.watch import Watch
from edgesim.reports import citations
from edgesim.reports.comparison import Comparison, variant_names
from edgesim.reports.comparison import compare as compare_results
from edgesim.reports.comparison import write as write_comparison
from edgesim.results.data_split import data_split_table
from edgesim.results.devices import device_table
from edgesim.results.directory import LOG, RunDirectory
from edgesim.results.participation import participation_table
from edgesim.results.run import PAPERS, RunResult, manifest
from edgesim.results.run import finished_runs as finished_runs
from edgesim.results.run import read as read_run
from edgesim.results.summary import Context, summarise
from edgesim.results.tables import frame
from edgesim.retiming import RETIMED_FROM, record, replay, rescheduled
from edgesim.scenario import Experiment, Scenario, resolve, resolve_all
from edgesim.sensitivity import assess
from edgesim.sensitivity import check as check_sensitivity
from edgesim.simulation.clock import PacedClock
from edgesim.simulation.engine import Simulation
from edgesim.workers import in_processes

if TYPE_CHECKING:
    from edgesim.profiling.runner.reading import Bundle


@dataclass(frozen=True)
class Options:
    """What the command line says beside the scenario.

    Attributes:
        out: folder in which `<scenario>/<variant>-seed<N>` is made.
        overrides: `--set` texts.
        timing_only: no training.
        overwrite: replace run directories that exist.
        download: fetch missing data sets.
        quiet: show nothing while it runs.
        sensitivity: draws of a comparison's sensitivity; none is worked out where it is 0.
        realtime: simulated seconds per second at which a run is played; as fast as can be where null.
        log: loggers that write while a run goes.
    """

    out: Path
    overrides: tuple[str, ...] = ()
    timing_only: bool = False
    overwrite: bool = False
    download: bool = False
    quiet: bool = False
    sensitivity: int = 0
    realtime: float | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """One run of a comparison, small enough to send to another process."""

    scenario: Given
    variant: str | None
    seed: int | None
    options: Options

    def resolve(self) -> Experiment:
        return resolve(open_document(self.scenario), self.variant, self.options.overrides, self.seed)


def run_one(
    scenario: Given, variant: str | None, seed: int | None, options: Options
) -> tuple[Path, RunResult]:
    """Run one variant of a scenario into its directory.

    Raises:
        InputError: something in the scenario or the options is wrong; nothing was written.
        RunFailed: the run could not be completed; its manifest says so.
    """
    document = open_document(scenario)
    if variant is None and document.variants:
        message = (
            f"has variants ({', '.join(document.variants)}): choose one, as in --variant "
            f"{document.variants[0]}, or compare them all"
        )
        raise InputError(Problem(message, place=document.source.name))
    task = _Task(scenario, variant, seed, options)
    with display(quiet=options.quiet, one=True, speed=options.realtime) as start:
        return _run_shown(task, start, Shelf())


def _run_shown(task: _Task, start: Start, shelf: Shelf) -> tuple[Path, RunResult]:
    experiment = task.resolve()
    shown = start(_label(experiment))
    path, result = _run(experiment, task.options, Watch(shown.follow, by_rounds=shown.by_rounds), shelf)
    shown.finish(_one_line(result))
    return path, result


def compare_scenario(
    scenario: Given, variants: Sequence[str], seeds: Sequence[int], jobs: int | None, options: Options
) -> Comparison:
    """Run the variants of a scenario over seeds, and compare them; all is checked before the first run.

    Raises:
        InputError: something in the scenario or the options is wrong; nothing was written.
        RunFailed: a run could not be completed.
    """
    document = open_document(scenario)
    tasks = [
        _Task(scenario, variant, seed, options)
        for variant in _chosen(document, variants, options)
        for seed in (seeds or (None,))
    ]
    for task in tasks:
        experiment = task.resolve()
        RunDirectory.check(_directory(experiment, options), overwrite=options.overwrite)
        loggers(options.log, experiment.path.parent)
        if options.sensitivity:
            check_sensitivity(experiment)
    workers = min(jobs or len(os.sched_getaffinity(0)), len(tasks))
    with display(quiet=options.quiet) as start:
        if workers == 1:
            shelf = Shelf()
            paths = [_run_shown(task, start, shelf)[0] for task in tasks]
        else:
            paths = _run_in_processes(tasks, workers, start)
    folder = paths[0].parent
    write_comparison(compare_runs(paths, replace(options, sensitivity=0)), folder)
    comparison = compare_runs(paths, options, beside=document.path.parent)
    write_comparison(comparison, folder)
    return comparison


def compare_runs(paths: Sequence[Path], options: Options, beside: Path | None = None) -> Comparison:
    """Compare runs that are finished already.

    Args:
        paths: their directories.
        options: of which the number of draws counts, and whether data may be fetched for them.
        beside: folder of their scenario file; each run's own where absent.

    Raises:
        InputError: they cannot be compared, or not be re-timed.
    """
    runs = [read_run(path) for path in paths]
    comparison = compare_results(runs)
    if not options.sensitivity:
        return comparison
    shelf = Shelf()
    recordings = (
        (name, record(path, beside, download=options.download, shelf=shelf))
        for name, path in zip(variant_names(runs), paths, strict=True)
    )
    to_target = all(run.summary["target_reached"] is not None for run in runs)
    return replace(comparison, sensitivity=assess(recordings, options.sensitivity, to_target=to_target))


def retime_run(source: Path, options: Options) -> tuple[Path, RunResult]:
    """Fold a finished run again under overrides of its timing, into a directory of its own.

    Raises:
        InputError: the run's weights depend on time, or an override concerns learning; nothing was written.
        RunFailed: the run could not be completed.
    """
    recording = record(source, download=options.download)
    experiment, parts = rescheduled(recording, options.overrides)
    path = _directory(experiment, options)
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


def plan_scenario(name: str, variant: str | None, seed: int | None, options: Options) -> list[VariantPlan]:
    """What each variant would cost on each class of devices, and here."""
    document = open_document(name)
    plans, shelf = [], Shelf()
    for chosen in _chosen(document, [variant] if variant else [], options):
        experiment = resolve(document, chosen, options.overrides, seed)
        parts = prepare(experiment, download=options.download, shelf=shelf)
        plans.append(plan(parts, chosen or "main"))
    return plans


def export_scenario(name: str, variants: Sequence[str], options: Options) -> Bundle:
    """Write the graphs of a scenario's variants as a bundle at `options.out`.

    Raises:
        InputError: something in the scenario or the options is wrong; nothing was written.
        RunFailed: not one graph could be made.
    """
    from edgesim.profiling.export import export

    document = open_document(name)
    chosen = _chosen(document, variants, options)
    experiments = [resolve(document, variant, options.overrides) for variant in chosen]
    with share_of(f"export {options.out}", quiet=options.quiet) as progress:
        return export(
            experiments,
            options.out,
            overwrite=options.overwrite,
            download=options.download,
            progress=progress,
        )


def _chosen(document: Document, variants: Sequence[str], options: Options) -> Sequence[str | None]:
    """The variants asked for, all of them where none is; every one is validated."""
    if variants:
        for variant in variants:
            resolve(document, variant, options.overrides)
        return variants
    resolve_all(document, options.overrides)
    return document.variants or (None,)


# --------------------------------------------------------------------------------------------------- one run


def _directory(experiment: Experiment, options: Options) -> Path:
    scenario = experiment.scenario
    seeds = scenario.seeds
    same = seeds.learning == seeds.timing
    seed = str(seeds.timing) if same else f"{seeds.learning}-{seeds.timing}"
    return options.out / scenario.name / f"{experiment.variant}-seed{seed}"


def _label(experiment: Experiment) -> str:
    return f"{experiment.variant} seed {experiment.scenario.seeds.timing}"


def _run(experiment: Experiment, options: Options, watch: Watch, shelf: Shelf) -> tuple[Path, RunResult]:
    """Prepare, run and write. What is wrong with the input shows before anything is written."""
    path = _directory(experiment, options)
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


def _one_line(result: RunResult) -> str:
    summary = result.summary
    wall_s = summary["wall_s"]["total"]
    took = f"{summary['virtual_s']:.1f} s of virtual time in {wall_s:.1f} s ({summary['reason']})"
    return f"{took}, {results(summary['outcomes'])}"


# -------------------------------------------------------------------------------------------- many processes


@dataclass(frozen=True)
class _Followed:
    """A task in a process of its own, and at which moments it tells of its run."""

    task: _Task
    by_rounds: bool


def _run_in_processes(tasks: Sequence[_Task], workers: int, start: Start) -> list[Path]:
    shown = [start(_label(task.resolve())) for task in tasks]
    followed = [_Followed(task, each.by_rounds) for task, each in zip(tasks, shown, strict=True)]
    done = in_processes(
        _work,
        followed,
        workers,
        follow=lambda number, moment: shown[number].follow(moment),
        finish=lambda number, run: shown[number].finish(run[1]),
    )
    return [path for path, _ in done]


def _work(followed: _Followed, tell: Callable[[Moment], None]) -> tuple[Path, str]:
    task = followed.task
    path, result = _run(task.resolve(), task.options, Watch(tell, by_rounds=followed.by_rounds), _shelf())
    return path, _one_line(result)


@cache
def _shelf() -> Shelf:
    """What the runs of a worker process share."""
    return Shelf()
