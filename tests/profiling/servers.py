"""An OpenSSH server on the loopback address: own keys, own settings, and a home that is a folder of ours."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgesim.profiling.ssh import Machine

SFTP = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")

# Every session goes through it. `cuts` holds how many sessions are to be killed as they begin, sshd's process
# and all; `torn` how many copies are to break off.
SESSION = """\
#!/bin/sh
cd {home}
HOME={home} PATH={path}
export HOME PATH
left=$(cat {home}/cuts)
if [ "$left" -gt 0 ]; then echo $((left - 1)) > {home}/cuts; kill -9 $PPID; exit; fi
case "$SSH_ORIGINAL_COMMAND" in
*sftp-server*)
    left=$(cat {home}/torn)
    if [ "$left" -gt 0 ]; then
        echo $((left - 1)) > {home}/torn
        dd bs=1 count=6000 2> /dev/null | $SSH_ORIGINAL_COMMAND
        exit
    fi ;;
esac
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass
class Server:
    """The server, which is also the board.

    Attributes:
        folder: of its files.
        port: that it listens at.
        slept_s: how long the client of `machine` would have slept.
    """

    folder: Path
    port: int
    slept_s: list[float] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """What its sessions begin in."""
        return self.folder / "home"

    def machine(self, *, patience_s: float = 60.0, on_sleep: Callable[[], None] = lambda: None) -> Machine:
        """How the client reaches it; waits are short, and noted."""

        def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            on_sleep()
            time.sleep(0.05)

        user = pwd.getpwuid(os.getuid()).pw_name
        options = ("-F", str(self.folder / "client"))
        return Machine(f"{user}@127.0.0.1", self.port, options, patience_s, sleep)

    def cut(self, sessions: int) -> None:
        """Kill so many sessions as they begin."""
        (self.home / "cuts").write_text(f"{sessions}\n")

    def tear(self, copies: int) -> None:
        """Break off so many copies."""
        (self.home / "torn").write_text(f"{copies}\n")

    def python(self, script: str) -> None:
        """Have `python3` be a shell script there."""
        file = self.home / "bin" / "python3"
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def cached(self, pattern: str) -> list[Path]:
        """What lies in its cache."""
        return sorted((self.home / ".cache" / "edgesim").rglob(pattern))


def programs() -> dict[str, str]:
    """The paths of what a server and its client need; the test is skipped where one is missing."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = {name: shutil.which(name, path=path) for name in ("sshd", "ssh", "scp", "ssh-keygen", "setsid")}
    found["sftp-server"] = next((file for file in SFTP if os.path.exists(file)), None)
    missing = [name for name, file in found.items() if file is None]
    if missing:
        pytest.skip(
            f"no {', no '.join(missing)} here: install the packages openssh-server and openssh-client"
        )
    return {name: str(file) for name, file in found.items()}


def make(folder: Path, known: dict[str, str]) -> Server:
    """Write keys, settings and home of a server."""
    home = folder / "home"
    (home / "bin").mkdir(parents=True)
    for name in ("host_key", "user_key"):
        command = [known["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    server = Server(folder, _free_port())
    server.cut(0)
    server.tear(0)
    server.python(f'exec {sys.executable} "$@"')
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    _script(folder / "session", SESSION.format(home=home, path=f"{home}/bin:/usr/bin:/bin"))
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {key}")
    (folder / "sshd").write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n"
        f"Subsystem sftp {known['sftp-server']}\nForceCommand {folder}/session\n"
    )
    (folder / "client").write_text(
        f"IdentityFile {folder}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n"
        "GlobalKnownHostsFile /dev/null\n"
    )
    return server


def start(server: Server, known: dict[str, str]) -> subprocess.Popen[bytes]:
    """Begin to listen."""
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)  # root's sshd asks for it
    log = (server.folder / "log").open("wb")
    process = subprocess.Popen([known["sshd"], "-D", "-e", "-f", str(server.folder / "sshd")], stderr=log)
    log.close()
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    pytest.skip(f"sshd does not start here: {(server.folder / 'log').read_text().strip()}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
