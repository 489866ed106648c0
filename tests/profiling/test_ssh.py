"""A bundle timed on another machine, against a real OpenSSH server: this machine, by the loopback address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesim.errors import InputError, RunFailed
from edgesim.profiling.profile import Request, make_profile
from edgesim.profiling.remote import Job
from edgesim.profiling.runner.timings import read
from edgesim.profiling.ssh import Disconnected, Machine
from tests.profiling import boards_of, bundles, servers
from tests.profiling.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    known = servers.programs()
    folder = tmp_path / "server"
    folder.mkdir()
    made = servers.make(folder, known)
    process = servers.start(made, known)
    yield made
    process.terminate()
    process.wait()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.zipped(boards_of.bundle(tmp_path / "bundle"), tmp_path / "tiny.zip")


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def job(bundle: Path, shown: list[str]) -> Callable[..., Job]:
    def make(machine: Machine, *more: str) -> Job:
        return Job.of(machine, bundle, [*boards_of.QUICK, *more], shown.append)

    return make


def test_a_bundle_is_copied_run_watched_and_its_timings_fetched(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "timings.jsonl"
    assert job(server.machine()).run(out) == 0
    assert set(read(str(out)).timed) == {(boards_of.HALF, "step"), (boards_of.WHOLE, "step")}
    assert "2/2 whole, batch 4, step" in "".join(shown)
    assert [path.name for path in server.cached("*.zip*")] == ["bundle.zip"]  # for the next time
    assert server.cached("*.jsonl") == []  # so that asking again times again


def test_a_profile_is_made_of_what_was_timed_there(server: Server, tmp_path: Path) -> None:
    source = boards_of.bundle(tmp_path / "bundle")  # a folder, which is packed
    request = Request(source, "far-board", tmp_path / "made", machine=server.machine(), budget_s=0.3)
    done = make_profile(request)
    assert (done.code, done.failures) == (0, ())
    assert done.profile is not None
    assert done.profile.measured is not None
    assert [step.label for step in done.profile.measured.table] == [
        "half",
        "whole",
        "both, mean over its levels",
    ]
    assert request.path.exists()
    with pytest.raises(InputError, match=r"far-board\.yaml: is there already"):
        make_profile(request)


def test_the_key_of_an_unknown_host_is_refused_with_how_to_add_it(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    (server.folder / "known_hosts").write_text("")
    with (server.folder / "client").open("a") as client:
        client.write("StrictHostKeyChecking no\n")  # not even where the user's settings would
    with pytest.raises(InputError, match=rf"is not known.* accept it: ssh -p {server.port} \w+@127"):
        job(server.machine()).run(tmp_path / "timings.jsonl")
    assert (server.folder / "known_hosts").read_text() == ""
    assert server.slept_s == []


def test_another_host_key_than_the_known_one_is_refused(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    key = (server.folder / "user_key.pub").read_text()
    (server.folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {key}")
    with pytest.raises(InputError, match="another host key than the one in known_hosts"):
        job(server.machine()).run(tmp_path / "timings.jsonl")


def test_a_machine_that_does_not_let_us_in_is_told_with_the_remedy(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    (server.folder / "authorized_keys").write_text("")
    with pytest.raises(InputError, match=r"does not let us in .*ssh-copy-id -p \d+ \w+@127"):
        job(server.machine()).run(tmp_path / "timings.jsonl")


def test_a_machine_that_nobody_listens_at_is_not_waited_for(job: Callable[..., Job], tmp_path: Path) -> None:
    servers.programs()
    nobody = Machine("me@127.0.0.1", 1, sleep=lambda _: pytest.fail("it is waited for"))
    with pytest.raises(Disconnected, match=r"127\.0\.0\.1 is not reached: .*refused"):
        job(nobody).run(tmp_path / "timings.jsonl")


@pytest.mark.parametrize("destination", ["-oProxyCommand=x", "", "me@board x", "me@board;ls"])
def test_a_destination_is_a_name_and_never_an_option(destination: str) -> None:
    with pytest.raises(InputError, match="is no destination; write user@board"):
        Machine(destination)


def test_missing_packages_are_told_with_how_to_install_them(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    subprocess.run(["python3", "-m", "venv", "--without-pip", str(empty)], check=True)
    server.python(f'exec {empty}/bin/python "$@"')
    with pytest.raises(InputError, match=r"no numpy and no onnxruntime .*pip install numpy onnxruntime"):
        job(server.machine()).run(tmp_path / "timings.jsonl")
    assert server.cached("*") == []


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ('"python": [3, 8, 2], "missing": [], "free_bytes": 1000000000', "has Python 3.8.2, and the runner"),
        ('"python": [3, 11, 2], "missing": [], "free_bytes": 1000000', "its disk is full: 1 MB are free"),
    ],
)
def test_an_old_python_and_a_full_disk_are_told(
    server: Server, job: Callable[..., Job], tmp_path: Path, found: str, message: str
) -> None:
    server.python(f"echo '{{{found}, \"sha256\": null}}'")
    with pytest.raises(InputError, match=message):
        job(server.machine()).run(tmp_path / "timings.jsonl")


def test_a_machine_without_python_is_told(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    session = server.folder / "session"
    session.write_text(session.read_text().replace(":/usr/bin:/bin", "\nPATH=$HOME/bin"))
    (server.home / "bin" / "python3").unlink()
    for name in ("sh", "cat"):
        (server.home / "bin" / name).symlink_to(f"/bin/{name}")
    with pytest.raises(InputError, match="has no python3; install it there"):
        job(server.machine()).run(tmp_path / "timings.jsonl")


@pytest.mark.slow
def test_an_environment_in_the_cache_is_taken_before_the_systems_python(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.python("exit 1")
    folder = server.home / ".cache" / "edgesim" / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python").chmod(0o755)
    assert job(server.machine()).run(tmp_path / "timings.jsonl") == 0


def test_a_connection_that_is_lost_in_the_middle_is_made_again_with_growing_waits(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    machine = server.machine(on_sleep=lambda: server.cut(3) if len(server.slept_s) == 1 else None)
    out = tmp_path / "timings.jsonl"
    assert job(machine).run(out) == 0
    assert server.slept_s[1:4] == [1.0, 2.0, 4.0]
    assert len(read(str(out)).hosts) == 1  # it went on meanwhile
    assert "".join(shown).count("1/2 half") == 1


def test_a_run_that_was_left_alone_is_fetched_by_the_same_command(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "timings.jsonl"
    impatient = server.machine(patience_s=0, on_sleep=lambda: server.cut(1))
    with pytest.raises(Disconnected):
        job(impatient).run(out)
    assert "the timing goes on there" in shown[-1]
    assert not out.exists()
    assert job(server.machine()).run(out) == 0
    assert len(read(str(out)).hosts) == 1


def test_what_was_killed_there_goes_on_where_it_stopped(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "timings.jsonl"
    slow = ("--precision", "1e-9", "--budget", "3")  # so that it is seen between the first and the second

    def kill_after_the_first() -> None:
        (results,) = server.cached("timings.jsonl") or [None]
        if results is not None and results.read_text().count('"timing"') == 1:
            (number,) = server.cached("pid")
            os.killpg(int(number.read_text()), signal.SIGKILL)

    with pytest.raises(RunFailed, match=r"was killed there.* the same command again goes on"):
        job(server.machine(on_sleep=kill_after_the_first), *slow).run(out)
    shown.clear()
    assert job(server.machine(), *slow).run(out) == 0
    assert "has 1 of 2 graphs already" in "".join(shown)
    assert len(read(str(out)).hosts) == 2


@pytest.mark.slow
def test_a_copy_that_breaks_off_is_made_again_and_never_has_the_name_of_a_whole_one(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.tear(2)
    assert job(server.machine()).run(tmp_path / "timings.jsonl") == 0
    (file,) = server.cached("bundle.zip*")
    assert file.read_bytes() == (tmp_path / "tiny.zip").read_bytes()


@pytest.mark.slow
def test_a_copy_that_always_breaks_off_ends_it_with_what_scp_says(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.tear(99)
    with pytest.raises(RunFailed, match="the bundle did not arrive whole in 5 times: "):
        job(server.machine()).run(tmp_path / "timings.jsonl")
    assert [path.name for path in server.cached("bundle.zip*")] == ["bundle.zip.part"]


def test_the_bundle_is_not_copied_twice(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    assert job(server.machine()).run(tmp_path / "first.jsonl") == 0
    (file,) = server.cached("bundle.zip")
    before = file.stat().st_mtime_ns
    assert job(server.machine(), "--only", "half").run(tmp_path / "second.jsonl") == 0
    assert file.stat().st_mtime_ns == before
    assert set(read(str(tmp_path / "second.jsonl")).timed) == {(boards_of.HALF, "step")}


def test_the_runners_own_refusal_is_shown_and_its_code_passed_on(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "timings.jsonl"
    assert job(server.machine(), "--only", "two thirds").run(out) == 2
    assert 'no shape or label "two thirds"' in "".join(shown)
    assert "without that folder it begins anew" in shown[-1]
    assert not out.exists()


@pytest.mark.slow
def test_what_a_shell_says_when_it_starts_is_no_part_of_an_answer(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    session = server.folder / "session"
    chatty = "case $SSH_ORIGINAL_COMMAND in *sftp*) ;; *) echo '{welcome}' ;; esac\nexec"
    session.write_text(session.read_text().replace("exec", chatty))
    assert job(server.machine()).run(tmp_path / "timings.jsonl") == 0


def test_labels_with_quotes_and_blanks_arrive_as_they_are(
    server: Server, job: Callable[..., Job], shown: list[str], tmp_path: Path
) -> None:
    label = """it's "$HOME" `id` \\ & *"""
    assert job(server.machine(), "--only", label).run(tmp_path / "timings.jsonl") == 2
    assert f'no shape or label "{label}" in this bundle' in "".join(shown)
