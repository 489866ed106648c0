"""From a bundle, or from the timings that a board's runner wrote, to the board's device profile."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from edgesim.devices.measured import Predicted
from edgesim.devices.profile import Catalogue, DeviceProfile, Kind
from edgesim.errors import InputError, Problem, did_you_mean
from edgesim.profiling import boards, bundle
from edgesim.profiling.emulate import Emulation, emulation
from edgesim.profiling.remote import Job
from edgesim.profiling.runner import command, host
from edgesim.profiling.runner.errors import BadTimings, BrokenBundle
from edgesim.profiling.runner.reading import Bundle, open_bundle
from edgesim.profiling.runner.timings import Timings, read
from edgesim.profiling.ssh import Machine

TIMINGS = ".jsonl"
KIND: Kind = "board"
NETWORK = "wifi"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CORES = re.compile(r"[0-9]+(,[0-9]+)*")


@dataclass(frozen=True)
class Request:
    """What is to become a profile, and how it is timed.

    Attributes:
        source: a bundle, or a file of timings (`.jsonl`).
        name: of the profile.
        out: folder of the profile.
        timings: file of the timings; beside the profile where absent.
        title: the device's name for people; what the system calls it where absent.
        kind: what sort of device it is; a board where absent.
        network: the one that it is on; wifi where absent.
        emulated: name of the profile of a device that this machine imitates.
        machine: where the bundle is timed; here where absent.
        budget_s: seconds for each graph; the runner's own choice where absent, as in the following.
        passes: times that each graph is timed.
        threads: that compute one operator.
        cores: that they may run on, as in 0,1.
        precision: how near the 95 % interval of the median must be, relative.
        only: shapes or labels; all of them where empty.
        overwrite: whether an earlier profile may be replaced, and fetched timings.
    """

    source: Path
    name: str
    out: Path = Path("device_profiles")
    timings: Path | None = None
    title: str | None = None
    kind: str | None = None
    network: str | None = None
    emulated: str | None = None
    machine: Machine | None = None
    budget_s: float | None = None
    passes: int | None = None
    threads: int | None = None
    cores: str | None = None
    precision: float | None = None
    only: tuple[str, ...] = ()
    overwrite: bool = False

    @property
    def path(self) -> Path:
        """Of the profile."""
        return self.out / f"{self.name}.yaml"

    @property
    def is_timed(self) -> bool:
        """Whether the source is timings already."""
        return self.source.suffix == TIMINGS

    @property
    def timings_file(self) -> Path:
        """Where the timings are, or will be."""
        return self.source if self.is_timed else self.timings or self.out / f"{self.name}{TIMINGS}"

    def catalogue(self) -> Catalogue:
        """What a scenario finds that lies beside the folder of the profile."""
        return Catalogue(self.out.resolve().parent / f"{self.name}.yaml")

    def runner_options(self) -> list[str]:
        """The runner's own, for training steps alone: they are what a profile holds."""
        given = {
            "--budget": self.budget_s,
            "--passes": self.passes,
            "--threads": self.threads,
            "--cores": self.cores,
            "--precision": self.precision,
        }
        found = ["--graphs", "step"]
        for option, value in given.items():
            found += [] if value is None else [option, str(value)]
        for name in self.only:
            found += ["--only", name]
        return found


@dataclass(frozen=True)
class Profiled:
    """What came of it.

    Attributes:
        code: the runner's exit code; 1 where steps could not be timed, and otherwise 0 where none ran.
        profile: null where nothing was timed.
        predicted: by shape, what the profile says of each timed step.
        failures: why steps could not be timed.
    """

    code: int
    profile: DeviceProfile | None = None
    predicted: Mapping[str, Predicted] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def make_profile(request: Request) -> Profiled:
    """Time a bundle, or take timings in, and write the profile; whatever is wrong is said before.

    Raises:
        InputError: an option or a file is wrong, or the machine to time on lacks something.
        RunFailed: the timing failed there, or the connection was lost for long.
    """
    _check(request)
    code = 0 if request.is_timed else _timed(request)
    if code not in (command.DONE, command.FAILED) or not request.timings_file.exists():
        return Profiled(code)
    timings = _read(request.timings_file)
    like = _emulated(timings, request)
    profile = boards.profile_of(
        timings,
        title=request.title,
        kind=_kind(request),
        network=request.network or NETWORK,
        like=like,
    )
    boards.write(profile, request.path)
    failures = tuple(_failures(timings))
    predicted = boards.predictions(timings, profile)
    return Profiled(code or int(bool(failures)), profile, predicted, failures)


def _check(request: Request) -> None:
    """Whether the profile can be made and written, before anything is timed for it."""
    if not _NAME.fullmatch(request.name):
        raise InputError(f'--name: "{request.name}" must be lower-case letters, digits and dashes: my-board')
    if request.path.exists() and not request.overwrite:
        raise InputError(Problem("is there already; replace it with --overwrite", place=str(request.path)))
    _kind(request)
    catalogue = request.catalogue()
    catalogue.network(request.network or NETWORK)
    problems = list(_at_odds(request))
    if problems:
        raise InputError(*problems)
    if request.is_timed:
        _read(request.source)
        return
    _open(request.source)
    if request.emulated is not None:
        emulation(request.emulated, catalogue, host.cores())


def _at_odds(request: Request) -> Iterator[str]:
    """Options that do not go together."""
    timing = [
        option for option in request.runner_options() if option.startswith("--") and option != "--graphs"
    ]
    if request.is_timed:
        given = {"--timings": request.timings, "--as": request.emulated, "--ssh": request.machine}
        timing += [option for option, value in given.items() if value is not None]
        if timing:
            yield f"{', '.join(dict.fromkeys(timing))}: {request.source} is timed already; give a bundle"
    if request.cores is not None and not _CORES.fullmatch(request.cores):
        yield f'--cores: "{request.cores}" is no list of cores such as 0,1'
    if request.emulated is not None:
        if request.name == request.emulated:
            yield f"--name: {request.name} is the device itself, and this is no measurement of it; name it so"
        own = {"--cores": request.cores, "--threads": request.threads, "--ssh": request.machine}
        own |= {"--kind": request.kind, "--network": request.network}
        for option in (option for option, value in own.items() if value is not None):
            yield f"{option}: {request.emulated} decides that; leave it out, or --as"
    if request.machine is not None and request.timings_file.exists() and not request.overwrite:
        yield (
            f"{request.timings_file}: is there already; take it in by edgesim profile {request.timings_file}"
            f" --name {request.name}, or replace it with --overwrite"
        )


def _kind(request: Request) -> Kind:
    known: tuple[Kind, ...] = get_args(Kind)
    for kind in known:
        if kind == (request.kind or KIND):
            return kind
    near = did_you_mean(request.kind or "", known)
    raise InputError(f'--kind: no kind "{request.kind}"{near} (known: {", ".join(known)})')


def _open(path: Path) -> Bundle:
    try:
        found = open_bundle(str(path))
        found.verify()
    except BrokenBundle as error:
        raise InputError(str(error)) from error
    return found


def _read(path: Path) -> Timings:
    try:
        return read(str(path))
    except BadTimings as error:
        raise InputError(str(error)) from error


def _timed(request: Request) -> int:
    """Time the bundle; gives the runner's exit code."""
    out = request.timings_file
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(Problem(f"cannot be made ({error.strerror})", place=str(out.parent))) from error
    if request.machine is not None:
        with _as_zip(_open(request.source)) as file:
            return Job.of(request.machine, file, request.runner_options(), _say).run(out)
    arguments = ["--out", str(out), *request.runner_options()]
    if request.emulated is None:
        return command.main(arguments, str(request.source))
    limits = emulation(request.emulated, request.catalogue(), host.cores())
    _say(_shortage(limits))
    return command.main([*arguments, *limits.arguments()], str(request.source), emulates=limits.record())


def _shortage(limits: Emulation) -> str:
    if not limits.is_short:
        return ""
    return (
        f"{limits.profile} has {limits.cores} cores, and here are {len(limits.affinity)}: its steps will take"
        " longer than on so many\n"
    )


@contextmanager
def _as_zip(found: Bundle) -> Iterator[Path]:
    """The bundle as one file."""
    path = Path(found.path)
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundle.zip"
        bundle.pack(found, file)
        yield file


def _emulated(timings: Timings, request: Request) -> DeviceProfile | None:
    """The device whose limits were imitated, as the timings say."""
    limits = timings.hosts[-1].get("emulates") if timings.hosts else None
    return None if limits is None else request.catalogue().load(limits["profile"])


def _failures(timings: Timings) -> Iterator[str]:
    """Steps that could not be timed."""
    for (shape, graph), line in timings.results.items():
        if graph == "step" and line["kind"] == "failure":
            yield f"{shape} was not timed: {line['message']}"


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
