"""What the commands do with whole scenarios: run one variant, compare them all over seeds, plan, export.

Light: a mistake shows, and workers begin, before this process has imported PyTorch; most never need it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.document import Document, Given, open_document
from edgesim.errors import InputError, Problem
from edgesim.progress.display import Start, display, share_of
from edgesim.progress.logs import loggers
from edgesim.progress.moment import Moment
from edgesim.progress.watch import Watch
from edgesim.reports.comparison import Comparison, variant_names
from edgesim.reports.comparison import compare as compare_results
from edgesim.reports.comparison import write as write_comparison
from edgesim.results.directory import RunDirectory
from edgesim.results.run import RunResult
from edgesim.results.run import read as read_run
from edgesim.scenario import Experiment, resolve, resolve_all
from edgesim.task import Options, Task, directory_of
from edgesim.workers import in_processes

if TYPE_CHECKING:
    from edgesim.parts import Shelf
    from edgesim.planning import VariantPlan
    from edgesim.profiling.runner.reading import Bundle


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
    task = Task(scenario, variant, seed, options)
    with display(quiet=options.quiet, one=True, speed=options.realtime) as start:
        (run,) = _run_here([task], start)
    return run


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
        Task(scenario, variant, seed, options)
        for variant in _chosen(document, variants, options)
        for seed in (seeds or (None,))
    ]
    for task in tasks:
        experiment = task.resolve()
        RunDirectory.check(directory_of(experiment, options), overwrite=options.overwrite)
        loggers(options.log, experiment.path.parent)
        if options.sensitivity:
            from edgesim.sensitivity import check as check_sensitivity

            check_sensitivity(experiment)
    workers = min(jobs or len(os.sched_getaffinity(0)), len(tasks))
    with display(quiet=options.quiet) as start:
        if workers == 1:
            paths = [path for path, _ in _run_here(tasks, start)]
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
    from edgesim.parts import Shelf
    from edgesim.retiming import record
    from edgesim.sensitivity import assess

    shelf = Shelf()
    recordings = (
        (name, record(path, beside, download=options.download, shelf=shelf))
        for name, path in zip(variant_names(runs), paths, strict=True)
    )
    to_target = all(run.summary["target_reached"] is not None for run in runs)
    return replace(comparison, sensitivity=assess(recordings, options.sensitivity, to_target=to_target))


def plan_scenario(name: str, variant: str | None, seed: int | None, options: Options) -> list[VariantPlan]:
    """What each variant would cost on each class of devices, and here."""
    document = open_document(name)
    experiments = [
        resolve(document, chosen, options.overrides, seed)
        for chosen in _chosen(document, [variant] if variant else [], options)
    ]
    from edgesim.parts import Shelf, prepare
    from edgesim.planning import plan

    shelf = Shelf()
    return [
        plan(prepare(experiment, download=options.download, shelf=shelf), experiment.variant)
        for experiment in experiments
    ]


def export_scenario(name: str, variants: Sequence[str], options: Options) -> Bundle:
    """Write the graphs of a scenario's variants as a bundle at `options.out`.

    Raises:
        InputError: something in the scenario or the options is wrong; nothing was written.
        RunFailed: not one graph could be made.
    """
    document = open_document(name)
    chosen = _chosen(document, variants, options)
    experiments = [resolve(document, variant, options.overrides) for variant in chosen]
    from edgesim.profiling.export import export

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


# -------------------------------------------------------------------------------------------- runs


def _run_here(tasks: Sequence[Task], start: Start) -> Iterator[tuple[Path, RunResult]]:
    """One after the other in this process."""
    experiments = [task.resolve() for task in tasks]
    from edgesim.parts import Shelf
    from edgesim.runs import one_line, run

    shelf = Shelf()
    for task, experiment in zip(tasks, experiments, strict=True):
        shown = start(_label(experiment))
        watch = Watch(shown.follow, by_rounds=shown.by_rounds)
        path, result = run(experiment, task.options, watch, shelf)
        shown.finish(one_line(result))
        yield path, result


def _label(experiment: Experiment) -> str:
    return f"{experiment.variant} seed {experiment.scenario.seeds.timing}"


@dataclass(frozen=True)
class _Followed:
    """A task in a process of its own, and at which moments it tells of its run."""

    task: Task
    by_rounds: bool


def _run_in_processes(tasks: Sequence[Task], workers: int, start: Start) -> list[Path]:
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
    from edgesim.runs import one_line, run

    task = followed.task
    path, result = run(task.resolve(), task.options, Watch(tell, by_rounds=followed.by_rounds), _shelf())
    return path, one_line(result)


@cache
def _shelf() -> Shelf:
    """What the runs of a worker process share."""
    from edgesim.parts import Shelf

    return Shelf()
