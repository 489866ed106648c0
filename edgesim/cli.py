"""The commands. Each reads its options and calls one function; heavy imports wait until a command runs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgesim import completion
from edgesim.errors import EdgesimError, InputError, Problem

if TYPE_CHECKING:
    from edgesim.task import Options

INTERRUPTED = 130

UsageError: Any = typer.BadParameter.__base__  # click's; whose click it is depends on the version of typer

app = typer.Typer(
    name="edgesim",
    help="Which sub-model method finishes a federated learning task first, on which fleet, by how much time?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="a scenario file, or the name of a shipped one",
        autocompletion=completion.scenarios,
    ),
]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="override a value, as in training.epochs=2; repeatable"),
]
Variant = Annotated[
    str | None, typer.Option(help="one variant of the scenario", autocompletion=completion.variants)
]
Variants = Annotated[
    list[str],
    typer.Option("--variant", help="only these variants; repeatable", autocompletion=completion.variants),
]
Seed = Annotated[int | None, typer.Option(help="in place of the scenario's seed")]
Seeds = Annotated[
    str | None, typer.Option(metavar="1,2,3", help="seeds of the comparison; the scenario's alone if absent")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="processes; as many as there are cores if absent")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="folder in which run directories are made")]
Device = Annotated[str | None, typer.Option(metavar="auto|cpu|cuda|cuda:N", help="where the training runs")]
TimingOnly = Annotated[bool, typer.Option("--timing-only", help="the timeline alone, without training")]
AsJson = Annotated[
    bool, typer.Option("--json", help="print the result as JSON on stdout, and nothing else there")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="show nothing while it runs")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace run directories that exist")]
Download = Annotated[bool, typer.Option("--download", help="fetch the data set if it is not there")]
Sensitivity = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="re-time the runs N times with figures drawn within their profiles' ranges"
    ),
]
DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="where data sets lie, before EDGESIM_DATA")
]


Realtime = Annotated[
    float | None,
    typer.Option(
        metavar="SPEED",
        min=1e-3,
        max=1e9,
        help="play at so many simulated seconds per second",
    ),
]
Log = Annotated[
    list[str],
    typer.Option(
        "--log",
        metavar="LOGGER",
        help="write the run's numbers as it goes: tensorboard, csv or module:Class; repeatable",
    ),
]


@app.command()
def run(
    scenario: ScenarioArgument,
    variant: Variant = None,
    set_: Set = [],  # noqa: B006  (typer copies it)
    seed: Seed = None,
    out: Out = Path("runs"),
    device: Device = None,
    timing_only: TimingOnly = False,
    overwrite: Overwrite = False,
    download: Download = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    realtime: Realtime = None,
    log: Log = [],  # noqa: B006
) -> None:
    """Run one simulated federation: real training, virtual clock."""
    from edgesim.campaign import run_one
    from edgesim.reports.brief import render

    options = _options(
        out, set_, device, data_root, timing_only, overwrite, download, quiet, realtime=realtime, log=log
    )
    path, result = run_one(scenario, variant, seed, options)
    _print(result.summary, as_json, lambda: render(result, path))


@app.command()
def compare(
    scenarios: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO|RUN ...",
            help="one scenario, or finished runs",
            autocompletion=completion.scenarios,
        ),
    ],
    variant: Variants = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    seed: Seed = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    out: Out = Path("runs"),
    device: Device = None,
    timing_only: TimingOnly = False,
    overwrite: Overwrite = False,
    download: Download = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    sensitivity: Sensitivity = 0,
    log: Log = [],  # noqa: B006
    report: Annotated[
        bool, typer.Option("--report", help="also write report.html into the folder of the runs")
    ] = False,
) -> None:
    """Run the variants of a scenario over seeds: who finishes the task first?"""
    from edgesim.campaign import compare_runs, compare_scenario
    from edgesim.reports.comparison import render, to_json
    from edgesim.results.run import finished_runs

    options = _options(
        out, set_, device, data_root, timing_only, overwrite, download, quiet, sensitivity, log=log
    )
    runs = finished_runs(scenarios)
    if runs:
        comparison = compare_runs(runs, options)
    elif len(scenarios) == 1:
        comparison = compare_scenario(scenarios[0], variant, _seeds(seed, seeds), jobs, options)
    else:
        raise InputError(
            "compare takes one scenario, or run directories (runs/NAME, or runs/NAME/VARIANT-seedN ...)"
        )
    _print(to_json(comparison), as_json, lambda: render(comparison))
    if report:
        from edgesim.reports.page import place, write
        from edgesim.results.run import REPORT

        path = place(runs) if runs else out / comparison.scenario / REPORT
        write(comparison, path)
        print(f"report: {path}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN ...", help="run directories, or folders of them")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the page; report.html in the folder of the runs if absent"),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write each figure there, too, as PNG and SVG for a paper"),
    ] = None,
    sensitivity: Sensitivity = 0,
    download: Download = False,
) -> None:
    """One HTML page on finished runs: the answer, curves, timeline and tables. It opens offline."""
    from edgesim.reports.comparison import compare as compare_results
    from edgesim.reports.page import headline, paint, place, write
    from edgesim.results.run import finished_runs, read

    directories = finished_runs(runs)
    if not directories:
        shown = ", ".join(map(str, runs))
        raise InputError(f"{shown}: no run is there; give run directories, or a folder such as runs/NAME")
    path = place(directories, out)
    if sensitivity:
        from edgesim.campaign import compare_runs
        from edgesim.task import Options

        options = Options(path.parent, sensitivity=sensitivity, download=download)
        comparison = compare_runs(directories, options)
    else:
        comparison = compare_results([read(directory) for directory in directories])
    write(comparison, path)
    print(headline(comparison))
    if figures is not None:
        print(f"figures: {len(paint(comparison.runs, figures))} files in {figures}")
    print(f"report: {path}")


@app.command()
def retime(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="directory of a finished run")],
    set_: Set = [],  # noqa: B006
    out: Out = Path("retimed"),
    overwrite: Overwrite = False,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """The same training on other devices, networks or rates: no training, the weights stay as they are."""
    from edgesim.reports.brief import render
    from edgesim.runs import retime_run
    from edgesim.task import Options

    options = Options(out, tuple(set_), overwrite=overwrite, download=download)
    path, result = retime_run(run_, options)
    _print(result.summary, as_json, lambda: render(result, path))


@app.command()
def verify(
    run_: Annotated[Path, typer.Argument(metavar="RUN", help="directory of a finished run")],
    as_json: AsJson = False,
) -> None:
    """Re-derive a run from its tables: exit 1 if a law is broken or the model did not learn."""
    from edgesim.reports.verdicts import is_kept, render, to_json
    from edgesim.results.run import read
    from edgesim.results.verification import verify as verify_run

    verdicts = verify_run(read(run_))
    _print(to_json(verdicts), as_json, lambda: render(verdicts, run_))
    if not is_kept(verdicts):
        raise typer.Exit(1)


@app.command()
def plan(
    scenario: ScenarioArgument,
    variant: Variant = None,
    set_: Set = [],  # noqa: B006
    seed: Seed = None,
    device: Device = None,
    download: Download = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Before anything is trained: capacity, bytes, memory, seconds and bottleneck of each device class."""
    from edgesim.campaign import plan_scenario
    from edgesim.reports.plan import render, to_json

    options = _options(
        Path("runs"),
        set_,
        device,
        data_root,
        timing_only=False,
        overwrite=False,
        download=download,
        quiet=True,
    )
    plans = plan_scenario(scenario, variant, seed, options)
    _print(to_json(plans), as_json, lambda: render(plans))


@app.command()
def export(
    scenario: ScenarioArgument,
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="a folder, or one file NAME.zip")],
    variant: Variants = [],  # noqa: B006
    set_: Set = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a bundle that exists")] = False,
    download: Download = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The sub-models as ONNX: inference graphs and whole training steps, to be timed on a device."""
    from edgesim.campaign import export_scenario
    from edgesim.reports.export import failures, render, to_json

    options = _options(
        out, set_, "cpu", data_root, timing_only=False, overwrite=overwrite, download=download, quiet=quiet
    )
    bundle = export_scenario(scenario, variant, options)
    _print(to_json(bundle.manifest, bundle.path), as_json, lambda: render(bundle.manifest, bundle.path))
    for failure in failures(bundle.manifest):
        print(failure, file=sys.stderr)
    if bundle.manifest["failed"]:
        raise typer.Exit(1)


@app.command()
def profile(
    source: Annotated[
        Path, typer.Argument(metavar="BUNDLE|TIMINGS", help="a bundle, or what a runner wrote (.jsonl)")
    ],
    name: Annotated[str, typer.Option(help="of the profile, as in my-board")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder of the profile")] = Path("device_profiles"),
    timings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="of the timings, continued if it is there; DIR/NAME.jsonl if absent"
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1e-3, help="for each graph, at most")
    ] = None,
    passes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="times that each graph is timed; the fastest of 3 counts if absent"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="as many as cores if absent")
    ] = None,
    cores: Annotated[
        str | None, typer.Option(metavar="0,1", help="all that the system allows if absent")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(metavar="SHARE", min=1e-6, help="end when the 95 % interval of the median is this near"),
    ] = None,
    only: Annotated[
        list[str], typer.Option("--only", metavar="SHAPE|LABEL", help="these alone; repeatable")
    ] = [],  # noqa: B006
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="name for people; the system's own if absent")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="phone, laptop, ...; board if absent")] = None,
    network: Annotated[str | None, typer.Option(help="that the device is on; wifi if absent")] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="PROFILE",
            help="imitate the cores and the memory of this device",
            autocompletion=completion.profiles,
        ),
    ] = None,
    ssh: Annotated[
        str | None, typer.Option(metavar="USER@BOARD", help="copy the bundle there and time it there")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="of --ssh")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a profile that exists, and fetched timings")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Time the training steps of a bundle, here or on a board, and make a device profile of them."""
    from edgesim.profiling.profile import Request, make_profile
    from edgesim.profiling.ssh import Machine
    from edgesim.reports.profile import render, to_json

    if port is not None and ssh is None:
        raise InputError("--port goes with --ssh")
    request = Request(
        source=source,
        name=name,
        out=out,
        timings=timings,
        title=title,
        kind=kind,
        network=network,
        emulated=as_,
        machine=None if ssh is None else Machine(ssh, port),
        budget_s=budget,
        passes=passes,
        threads=threads,
        cores=cores,
        precision=precision,
        only=tuple(only),
        overwrite=overwrite,
    )
    done = make_profile(request)
    if done.profile is not None:
        made = (done.profile, request.path, done.predicted)
        _print(to_json(*made), as_json, lambda: render(*made))
    for failure in done.failures:
        print(failure, file=sys.stderr)
    if done.code:
        raise typer.Exit(done.code)


@app.command()
def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="of the scenario, which must not exist")
    ] = Path("scenario.yaml"),
) -> None:
    """Write a scenario of ten commented lines to begin with."""
    from edgesim.drafting import Draft, asked, write

    draft = asked() if sys.stdin.isatty() and sys.stderr.isatty() else Draft()
    write(file, draft)
    print(f"{file}: {draft.question}")
    print(f"The answer: edgesim compare {shlex.quote(str(file))}")


@app.command()
def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE ...", help="scenario, device profile or network files")
    ],
    set_: Set = [],  # noqa: B006
) -> None:
    """Check scenario or profile files; every error with file:line."""
    from edgesim.validation import check

    problems: list[Problem] = []
    for file in files:
        try:
            print(f"{file}: {check(file, set_)}")
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(*problems)


@app.command()
def schema(
    kind: Annotated[
        str,
        typer.Argument(help="scenario, profile, population or network", autocompletion=completion.schemas),
    ] = "scenario",
) -> None:
    """Print the JSON Schema of scenario, profile, population or network files, for editors."""
    from edgesim.validation import json_schema

    print(json.dumps(json_schema(kind), indent=2))


@app.command(name="list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="scenarios, devices, networks, models, datasets, ...", autocompletion=completion.kinds
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a scenario can name."""
    from edgesim.catalogue import listed
    from edgesim.reports.names import render

    found = listed(what)
    _print(found, as_json, lambda: render(found))


@app.command()
def cite(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO|RUN",
            help="a scenario, or the directory of a run",
            autocompletion=completion.scenarios,
        ),
    ],
    variant: Variant = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="print BibTeX entries")] = False,
    as_json: AsJson = False,
) -> None:
    """Name the papers behind what a scenario uses, all its variants together."""
    from edgesim.reports.citations import cite as find_papers
    from edgesim.reports.citations import render, to_bibtex, to_json

    if bibtex and as_json:
        raise InputError("give --bibtex or --json, not both")
    citations = find_papers(scenario, variant)
    _print(to_json(citations), as_json, lambda: (to_bibtex if bibtex else render)(citations))


def _options(
    out: Path,
    overrides: list[str],
    device: str | None,
    data_root: Path | None,
    timing_only: bool,
    overwrite: bool,
    download: bool,
    quiet: bool,
    sensitivity: int = 0,
    realtime: float | None = None,
    log: Sequence[str] = (),
) -> Options:
    from edgesim.task import Options

    sets = [*overrides]
    if device is not None:
        sets.append(f"execution.device={device}")
    if data_root is not None:
        sets.append(f"data_root={json.dumps(str(data_root.resolve()))}")
    return Options(
        out, tuple(sets), timing_only, overwrite, download, quiet, sensitivity, realtime, tuple(log)
    )


def _seeds(seed: int | None, seeds: str | None) -> tuple[int, ...]:
    if seeds is None:
        return () if seed is None else (seed,)
    if seed is not None:
        raise InputError("give --seed or --seeds, not both")
    parts = [part.strip() for part in seeds.split(",")]
    if not all(part.isdigit() for part in parts):
        raise InputError(f'--seeds: must be whole numbers with commas, as in 1,2,3; got "{seeds}"')
    numbers = tuple(int(part) for part in parts)
    if len(set(numbers)) < len(numbers):
        raise InputError(f'--seeds: each seed once; got "{seeds}"')
    return numbers


def _print(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    print(json.dumps(result, indent=2, allow_nan=False) if as_json else text().rstrip("\n"))


def main() -> None:
    """The console command: clear messages, exit codes of design section 1."""
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except typer.Abort:  # how older versions of typer end on Ctrl-C; newer ones give 130
        code = INTERRUPTED
    except EdgesimError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(code)
