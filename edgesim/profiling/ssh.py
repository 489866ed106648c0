"""Another machine by the system's own ssh and scp: commands and files, over connections that may break.

Nothing is ever asked on the terminal, and the key of an unknown host is refused whatever ssh's settings say.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgesim.errors import InputError, RunFailed

OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
)
LOST = 255  # what ssh exits with where the connection fails, and no command does
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0

_ANSWER = "edgesim-answer:"  # what a shell says of its own when it starts stands before it
_DESTINATION = re.compile(r"[A-Za-z0-9_][\w.@%+-]*")


class Disconnected(RunFailed):
    """The machine could not be reached, or no longer."""


@dataclass(frozen=True)
class Machine:
    """A machine that ssh reaches.

    Attributes:
        destination: `user@board`, or what ssh's own settings call it.
        port: null for that of ssh's settings.
        options: for ssh and scp before all others.
        patience_s: for how long a lost connection is tried again.
        sleep: waits for so many seconds.

    Raises:
        InputError: the destination is none.
    """

    destination: str
    port: int | None = None
    options: tuple[str, ...] = ()
    patience_s: float = 3600.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        if not _DESTINATION.fullmatch(self.destination):
            raise InputError(f'--ssh: "{self.destination}" is no destination; write user@board')

    def ask(self, script: str, *, patient: bool = True) -> bytes:
        """What a shell script prints there.

        Args:
            script: may be run twice, where the connection is lost after it was.
            patient: whether to try again where the machine cannot be reached.

        Raises:
            InputError: the machine refuses us, or is not the one that we know.
            Disconnected: it cannot be reached.
            RunFailed: the script failed.
        """
        wait_s, waited_s = FIRST_WAIT_S, 0.0
        while True:
            try:
                return self._asked(script)
            except Disconnected:
                if not patient or waited_s >= self.patience_s:
                    raise
            self.sleep(wait_s)
            waited_s += wait_s
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _asked(self, script: str) -> bytes:
        answering = f"printf '%s\\n' {_ANSWER}\n{script}"
        done = self._run([*self._program("ssh", "-p"), self.destination, f"sh -c {shlex.quote(answering)}"])
        if done.returncode == LOST:
            raise Disconnected(f"{self.destination} is not reached: {_last(done.stderr)}")
        if done.returncode != 0:
            raise RunFailed(f"{self.destination}: a command failed there: {_last(done.stderr)}")
        return done.stdout.partition(f"{_ANSWER}\n".encode())[2]

    def send(self, file: Path, to: str) -> str:
        """Copy a file there, under a path of letters that no shell minds; gives what scp complains of."""
        return self._copy(str(file.resolve()), f"{self.destination}:{to}")

    def fetch(self, path: str, to: Path) -> str:
        """Copy a file from there; gives what scp complains of."""
        return self._copy(f"{self.destination}:{path}", str(to.resolve()))

    def _copy(self, source: str, target: str) -> str:
        done = self._run([*self._program("scp", "-P"), "-q", source, target])
        return "" if done.returncode == 0 else _last(done.stderr)

    def _program(self, name: str, port_option: str) -> list[str]:
        port = [] if self.port is None else [port_option, str(self.port)]
        return [name, *self.options, *(part for option in OPTIONS for part in ("-o", option)), *port]

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise InputError(
                f"{command[0]} is not installed here; install OpenSSH's client, or copy the bundle by hand"
            ) from error
        refusal = self._refusal(done.stderr.decode(errors="replace")) if done.returncode == LOST else None
        if refusal is not None:
            raise refusal
        return done

    def _refusal(self, said: str) -> InputError | None:
        """Why trying again is of no use."""
        by_hand = shlex.join(
            ["ssh", *([] if self.port is None else ["-p", str(self.port)]), self.destination]
        )
        if "IDENTIFICATION HAS CHANGED" in said:
            return InputError(
                f"{self.destination} shows another host key than the one in known_hosts: it may be another"
                " machine. If the board was set up anew, remove the old key with ssh-keygen -R, then add the"
                f" new one: {by_hand}"
            )
        if "Host key verification failed" in said:
            return InputError(
                f"the host key of {self.destination} is not known, and edgesim accepts none by itself; log in"
                f" once, compare the fingerprint with that of the board, and accept it: {by_hand}"
            )
        if "Permission denied" in said or "Too many authentication failures" in said:
            return InputError(
                f"{self.destination} does not let us in without a password; give it your key once, by"
                f" {by_hand.replace('ssh', 'ssh-copy-id', 1)}, and load it where it has a passphrase: ssh-add"
            )
        return None


def _last(said: bytes) -> str:
    """The last line of a program's complaints."""
    return (said.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1].strip()
