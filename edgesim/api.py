"""edgesim in Python: one run, a comparison, and what they left behind, for scripts and notebooks.

    import edgesim
    from edgesim.reports import figures

    comparison = edgesim.compare("quickstart")
    comparison.frame()
    figures.draw("device_timeline", comparison.runs)

A scenario is a path, the name of a shipped one, or a mapping of what its file would say; a mapping finds
files beside it in the current folder. Nothing is kept on disk unless `out` says where.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgesim.errors import InputError
from edgesim.results.run import RunResult, finished_runs
from edgesim.results.run import read as read_run

if TYPE_CHECKING:  # they come with PyTorch, which reading results does not need
    from edgesim.document import Given
    from edgesim.reports.comparison import Comparison
    from edgesim.task import Options

Overrides: TypeAlias = Mapping[str, Any]
"""Values in place of the scenario's by their keys, as in `{"training.epochs": 2, "fleet[0].count": 5}`."""


def run(
    scenario: Given,
    *,
    variant: str | None = None,
    seed: int | None = None,
    overrides: Overrides | None = None,
    timing_only: bool = False,
    out: str | Path | None = None,
    overwrite: bool = True,
    download: bool = False,
    progress: bool = False,
) -> RunResult:
    """Run one simulated federation, as `edgesim run` does.

    Args:
        scenario: what to run.
        variant: one of its variants; needed where it has any.
        seed: in place of the scenario's.
        overrides: values in place of the scenario's and the variant's.
        timing_only: the timeline alone, without training.
        out: folder in which `<scenario>/<variant>-seed<N>` is made; nothing is kept where absent.
        overwrite: replace an earlier run there, so that a cell can be run again.
        download: fetch the data set if it is not there.
        progress: show on stderr how far it is.

    Raises:
        InputError: something in the scenario or the arguments is wrong.
        RunFailed: the run could not be completed.
    """
    from edgesim.campaign import run_one
    from edgesim.task import Options

    with _folder(out) as folder:
        options = Options(folder, _texts(overrides), timing_only, overwrite, download, quiet=not progress)
        return run_one(scenario, variant, seed, options)[1]


def compare(
    scenario: Given | Sequence[str | Path | RunResult],
    *,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (1, 2, 3),
    overrides: Overrides | None = None,
    timing_only: bool = False,
    sensitivity: int = 0,
    jobs: int = 1,
    out: str | Path | None = None,
    overwrite: bool = True,
    download: bool = False,
    progress: bool = False,
) -> Comparison:
    """Compare the variants of a scenario over seeds, or finished runs, as `edgesim compare` does.

    Args:
        scenario: what to run; or runs that are there, as results, run directories or folders of them.
        variants: only these; all where empty.
        seeds: in place of the scenario's; its own alone where empty.
        overrides: values in place of the scenario's and the variants'.
        timing_only: the timelines alone, without training.
        sensitivity: re-time the runs so many times with device figures drawn within their profiles' ranges.
        jobs: processes.
        out: folder in which a directory per run is made; nothing is kept where absent.
        overwrite: replace earlier runs there.
        download: fetch the data set if it is not there.
        progress: show on stderr how far they are.

    Raises:
        InputError: something in the scenario or the arguments is wrong, or the runs cannot be compared.
        RunFailed: a run could not be completed.
    """
    from edgesim.campaign import compare_scenario
    from edgesim.task import Options

    with _folder(out) as folder:
        options = Options(
            folder, _texts(overrides), timing_only, overwrite, download, not progress, sensitivity
        )
        if isinstance(scenario, str | Path | Mapping) and not _is_of_runs(scenario):
            return compare_scenario(scenario, variants, seeds, jobs, options)
        runs = [scenario] if isinstance(scenario, str | Path) else list(scenario)
        return _compare_finished(runs, options)


def read(path: str | Path) -> RunResult:
    """What a finished run left behind in its directory.

    Raises:
        InputError: there is no run, it did not finish, or a file of it is missing or broken.
    """
    return read_run(Path(path))


def _is_of_runs(scenario: Given) -> bool:
    """Whether it is the directory of a finished run, or a folder of them."""
    return not isinstance(scenario, Mapping) and bool(finished_runs([str(scenario)]))


def _compare_finished(runs: Sequence[Any], options: Options) -> Comparison:
    from edgesim.campaign import compare_runs
    from edgesim.reports.comparison import compare as compare_results

    if runs and all(isinstance(run, RunResult) for run in runs) and not options.sensitivity:
        return compare_results(runs)
    paths = finished_runs([str(run) for run in runs if isinstance(run, str | Path)])
    if not paths or any(isinstance(run, RunResult) for run in runs):
        raise InputError(
            "compare takes a scenario, the results of runs, or run directories (which sensitivity needs)"
        )
    return compare_runs(paths, options)


def _texts(overrides: Overrides | None) -> tuple[str, ...]:
    """Overrides as `--set` takes them, and as errors show them."""
    from edgesim.document import plain

    return tuple(f"{key}={json.dumps(value)}" for key, value in plain(overrides or {}).items())


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """Where run directories are made: for good, or until their results are read."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="edgesim-") as folder:
        yield Path(folder)
