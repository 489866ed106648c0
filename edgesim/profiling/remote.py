"""A bundle timed on another machine: copied there, run, watched, and its timings fetched.

The runner goes on there whether or not we are connected. What it does lies in `~/.cache/edgesim`: the bundle
by its checksum, and beside it a folder per way of timing it, so that asking for the same once more finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edgesim.errors import InputError, RunFailed
from edgesim.profiling.runner.command import DONE, FAILED
from edgesim.profiling.ssh import Disconnected, Machine
from edgesim.results.files import folder_beside

CACHE = ".cache/edgesim"
VENV = f"{CACHE}/venv"
OLDEST_PYTHON = (3, 9)
SPARE_BYTES = 10**7  # for timings and log beside the bundle
COPIES = 5  # times that a copy which arrives torn is tried
POLL_S = 2.0  # between two looks at how far it is

_PROBE = """\
import hashlib, json, os, sys
try:
    from importlib.util import find_spec
except ImportError:
    find_spec = lambda name: None
def sha256(path):
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except (IOError, OSError):
        return None
disk = os.statvfs(".")
sys.stdout.write(json.dumps({
    "python": sys.version_info[:3],
    "missing": [name for name in ("numpy", "onnxruntime") if find_spec(name) is None],
    "free_bytes": disk.f_bavail * disk.f_frsize,
    "sha256": sha256(sys.argv[1]),
}))
"""
_PYTHON = f"""\
python={VENV}/bin/python
[ -x "$python" ] || python=$(command -v python3) || python=
"""
_DEAD, _ALIVE = "dead", "alive"


@dataclass(frozen=True)
class Job:
    """A bundle that is timed on another machine in one way.

    Attributes:
        machine: where.
        bundle: the zip here.
        sha256: checksum of the zip.
        arguments: the runner's options, without the file of the results.
        say: shows a text as it is.
    """

    machine: Machine
    bundle: Path
    sha256: str
    arguments: tuple[str, ...]
    say: Callable[[str], None]

    @classmethod
    def of(cls, machine: Machine, bundle: Path, arguments: Sequence[str], say: Callable[[str], None]) -> Self:
        """The job of timing this zip with these options."""
        sha256 = hashlib.sha256(bundle.read_bytes()).hexdigest()
        return cls(machine, bundle, sha256, tuple(arguments), say)

    @property
    def zip(self) -> str:
        """Path of the bundle there."""
        return f"{CACHE}/{self.sha256[:16]}/bundle.zip"

    @property
    def folder(self) -> str:
        """Path there of all that this way of timing it leaves behind."""
        way = hashlib.sha256(json.dumps(self.arguments).encode()).hexdigest()[:16]
        return f"{CACHE}/{self.sha256[:16]}/{way}"

    @property
    def timings(self) -> str:
        """Path of its results there."""
        return f"{self.folder}/timings.jsonl"

    def run(self, out: Path) -> int:
        """Time the bundle there and fetch the timings to `out`; gives the runner's exit code.

        What was begun before is gone on with, and what was done before is fetched.

        Raises:
            InputError: the machine cannot be used: the message says what is missing.
            Disconnected: the connection was lost and did not come back; what was begun goes on there.
            RunFailed: something failed there.
        """
        known = self._usable()
        if self._state()[0] not in (_ALIVE, str(DONE)):
            self._copy(known)
            self._start()
        try:
            code = self._watch()
        except (Disconnected, KeyboardInterrupt):
            self.say(
                "the timing goes on there; the same command once more watches it, or fetches what it did\n"
            )
            raise
        if code not in (DONE, FAILED):
            self.say(f"what it left is in ~/{self.folder} there; without that folder it begins anew\n")
        elif self._fetch(out) and code == DONE:
            self.machine.ask(f"rm -rf {self.folder}")
        return code

    def _usable(self) -> dict[str, Any]:
        """What `_PROBE` says of the machine, and of the bundle there.

        Raises:
            InputError: the machine lacks something.
        """
        host, make = self.machine.destination, f"-m venv ~/{VENV}"
        said = self._look(self.zip, patient=False)
        if said is None:
            raise InputError(
                f"{host} has no python3; install it there: sudo apt install python3 python3-venv"
            )
        version = ".".join(map(str, said["python"]))
        if tuple(said["python"]) < OLDEST_PYTHON:
            raise InputError(
                f"{host} has Python {version}, and the runner needs 3.9 or newer; install one there, and make"
                f" an environment of it: python3.11 {make}"
            )
        if said["missing"]:
            raise InputError(
                f"{host} has no {' and no '.join(said['missing'])} for its Python {version}; install there"
                f" what the runner needs, into an environment that edgesim finds: python3 {make} &&"
                f" ~/{VENV}/bin/pip install numpy onnxruntime"
            )
        return said

    def _look(self, path: str, *, patient: bool = True) -> dict[str, Any] | None:
        """What `_PROBE` says of the machine and a file there; null without a Python."""
        script = f"""{_PYTHON}[ -n "$python" ] || exit 0\n"$python" -c {shlex.quote(_PROBE)} {path}"""
        said = self.machine.ask(script, patient=patient)
        return dict(json.loads(said)) if said else None

    def _seen(self, path: str) -> dict[str, Any]:
        """The same where a Python was seen."""
        said = self._look(path)
        if said is None:
            raise RunFailed(f"{self.machine.destination}: its Python is gone; run the same command again")
        return said

    def _copy(self, known: dict[str, Any]) -> None:
        """Bring the bundle there, unless it is there; it has its name only when it is whole."""
        host, part, complaint = self.machine.destination, f"{self.zip}.part", ""
        if known["sha256"] == self.sha256:
            return
        for _ in range(COPIES):
            self._refuse_full(known["free_bytes"])
            self.machine.ask(f"mkdir -p {self.folder}")
            complaint = self.machine.send(self.bundle, part)
            known = self._seen(part)
            if known["sha256"] == self.sha256:
                self.machine.ask(f"[ ! -f {part} ] || mv {part} {self.zip}")
                return
        raise RunFailed(f"{host}: the bundle did not arrive whole in {COPIES} times: {complaint or 'torn'}")

    def _refuse_full(self, free_bytes: int) -> None:
        needed_bytes = self.bundle.stat().st_size + SPARE_BYTES
        if free_bytes < needed_bytes:
            raise InputError(
                f"{self.machine.destination}: its disk is full: {free_bytes / 1e6:.3g} MB are free, and"
                f" {needed_bytes / 1e6:.3g} MB are needed in ~/{CACHE}; make room there"
            )

    def _start(self) -> None:
        """Begin, or go on with, the timings; they outlive the connection."""
        arguments, code = shlex.join(["--out", self.timings, *self.arguments]), f"{self.folder}/rc"
        within = f'"$python" {self.zip} {arguments}; echo $? > {code}.part; mv {code}.part {code}'
        self.machine.ask(
            f"{_PYTHON}export python\n{self._alive}if alive; then exit 0; fi\n"
            f"mkdir -p {self.folder} && rm -f {code}\n"
            f"setsid nohup sh -c {shlex.quote(within)} {self.folder} > {self.folder}/log 2>&1 < /dev/null &\n"
            f"echo $! > {self.folder}/pid"
        )

    @property
    def _alive(self) -> str:
        """Shell function: whether the process of this job runs, and not another one with its number."""
        number = f'pid=$(cat {self.folder}/pid 2> /dev/null) && [ -n "$pid" ]'
        ours = f"tr '\\0' ' ' 2> /dev/null < \"/proc/$pid/cmdline\" | grep -q {self.folder}"
        return f"alive() {{ {number} && {ours}; }}\n"

    def _state(self, offset: int = 0) -> tuple[str, bytes]:
        """Exit code, `alive` or `dead`, and the log from an offset on.

        The exit code is asked for once more after the process: it may have ended between the two.
        """
        code, log = f"{self.folder}/rc", f"{self.folder}/log"
        said = self.machine.ask(
            f"{self._alive}if [ -f {code} ]; then cat {code}; elif alive; then echo {_ALIVE};"
            f" elif [ -f {code} ]; then cat {code}; else echo {_DEAD}; fi\n"
            f"[ ! -f {log} ] || tail -c +{offset + 1} {log}"
        )
        state, _, more = said.partition(b"\n")
        return state.decode(), more

    def _watch(self) -> int:
        """Show the log until the runner ends; gives its exit code."""
        offset = 0
        while True:
            state, more = self._state(offset)
            offset += len(more)
            self.say(more.decode(errors="replace"))
            if state == _DEAD:
                raise RunFailed(
                    f"{self.machine.destination}: the runner was killed there, or the board started anew; the"
                    " same command again goes on where it stopped"
                )
            if state != _ALIVE:
                return int(state)
            self.machine.sleep(POLL_S)

    def _fetch(self, out: Path) -> bool:
        """Bring the timings here; gives whether there are any."""
        complaint = ""
        for _ in range(COPIES):
            sha256 = self._seen(self.timings)["sha256"]
            if sha256 is None:
                return False
            with folder_beside(out) as folder:
                fresh = folder / "fetched.jsonl"
                complaint = self.machine.fetch(self.timings, fresh)
                if fresh.exists() and hashlib.sha256(fresh.read_bytes()).hexdigest() == sha256:
                    os.replace(fresh, out)
                    return True
        raise RunFailed(
            f"{self.machine.destination}: the timings did not arrive whole in {COPIES} times:"
            f" {complaint or 'torn'}; the same command again fetches them"
        )
