"""`edgesim profile`: from a bundle or timings to a device profile, and what is refused before any timing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgesim import yaml_source
from edgesim.devices.profile import DeviceProfile
from tests.commands import edgesim
from tests.profiling import boards_of
from tests.profiling.boards_of import HALF, WHOLE, timing

LINES = [
    timing(
        f"{number:016x}",
        1e-3 * (1 + number),
        ("linear", 10**6 * (1 + number), 10**5, 3),
        labels=[f"width {number}"],
    )
    for number in range(4)
]
QUICK = ("--budget", "0.3", "--passes", "1")


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(boards_of.bundle(tmp_path / "tiny"))


@pytest.fixture
def taken(tmp_path: Path) -> str:
    boards_of.timings(tmp_path / "t.jsonl", LINES)
    return str(tmp_path / "t.jsonl")


def read(path: Path) -> DeviceProfile:
    return yaml_source.validate(yaml_source.read(path), DeviceProfile)


def test_a_bundle_is_timed_here_and_its_training_steps_become_a_profile(bundle: str, tmp_path: Path) -> None:
    done = edgesim(tmp_path, "profile", bundle, "--name", "my-board", "--title", "My board", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 graphs are timed" in done.stderr
    profile = read(tmp_path / "device_profiles" / "my-board.yaml")
    assert profile.title == "My board"
    assert profile.measured is not None
    assert [step.shape for step in profile.measured.table][:2] == [HALF, WHOLE]
    assert (tmp_path / "device_profiles" / "my-board.jsonl").exists()
    assert edgesim(tmp_path, "validate", "device_profiles/my-board.yaml").returncode == 0


def test_timings_of_a_board_are_taken_in(taken: str, tmp_path: Path) -> None:
    done = edgesim(tmp_path, "profile", taken, "--name", "pea-pod", "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "mine" / "pea-pod.yaml").title == "Pea Pod 4"
    assert "| width 0 | 8 | 1 (0.99 to 1.02) |" in " ".join(done.stdout.split())
    assert "a fit to all others misses a shape that is left out by" in done.stdout
    assert "too few are timed" not in done.stdout
    assert "cost: measured, and in its fleet {profile: pea-pod, count: 10}" in done.stdout


def test_the_result_is_json_where_asked_for(taken: str, tmp_path: Path) -> None:
    done = edgesim(tmp_path, "profile", taken, "--name", "pea-pod", "--json")
    found = json.loads(done.stdout)
    assert found["path"] == "device_profiles/pea-pod.yaml"
    assert found["emulated"] is False
    assert found["rate_flops"] == pytest.approx(1e9)
    row = found["table"][1]
    assert row["seconds_per_step"]["median"] == 2e-3
    assert row["fitted_s"] == pytest.approx(2e-3)
    assert row["error"] == pytest.approx(0, abs=1e-9)
    assert set(found["fit"]["leave_one_out"]) == {"median", "p90", "largest"}


def test_steps_that_were_not_timed_are_told_and_give_code_1(tmp_path: Path) -> None:
    failure = {"kind": "failure", "shape": "e" * 16, "graph": "step", "message": "out of memory"}
    boards_of.timings(tmp_path / "t.jsonl", [*LINES, failure])
    done = edgesim(tmp_path, "profile", "t.jsonl", "--name", "pea-pod")
    assert (done.returncode, done.stderr) == (1, f"{'e' * 16} was not timed: out of memory\n")
    assert (tmp_path / "device_profiles" / "pea-pod.yaml").exists()


def test_an_emulated_device_is_said_to_be_one(bundle: str, tmp_path: Path) -> None:
    arguments = ("profile", bundle, "--name", "like-a-pi", "--as", "raspberry-pi-zero-2-w", *QUICK)
    done = edgesim(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "EMULATED" in done.stdout
    profile = read(tmp_path / "device_profiles" / "like-a-pi.yaml")
    assert profile.measured is not None
    assert profile.measured.emulated
    again = edgesim(tmp_path, "profile", "device_profiles/like-a-pi.jsonl", "--name", "again")
    assert "EMULATED" in again.stdout  # the timings know it themselves


def test_timings_are_continued_and_other_ones_are_not_mixed_in(bundle: str, tmp_path: Path) -> None:
    arguments = ("profile", bundle, "--name", "my-board", "--only", "half", *QUICK)
    assert edgesim(tmp_path, *arguments).returncode == 0
    more = edgesim(tmp_path, "profile", bundle, "--name", "my-board", "--overwrite", *QUICK)
    assert "has 1 of 2 graphs already" in more.stderr
    other = edgesim(tmp_path, "profile", bundle, "--name", "my-board", "--overwrite", "--budget", "0.4")
    assert other.returncode == 2
    assert "holds timings with budget_s 0.3, now it is 0.4" in other.stderr
    assert "edgesim profile: --timings" in other.stderr


def test_a_profile_is_replaced_only_where_that_is_asked_for(taken: str, tmp_path: Path) -> None:
    arguments = ("profile", taken, "--name", "pea-pod")
    assert edgesim(tmp_path, *arguments).returncode == 0
    done = edgesim(tmp_path, *arguments)
    assert done.returncode == 2
    assert "pea-pod.yaml: is there already; replace it with --overwrite" in done.stderr
    assert edgesim(tmp_path, *arguments, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "My_Board"], '--name: "My_Board" must be lower-case letters, digits and dashes'),
        (["--name", "../x"], "must be lower-case"),
        (["--name", "x", "--kind", "bord"], '--kind: no kind "bord"; did you mean "board"?'),
        (["--name", "x", "--network", "wify"], 'no network "wify"; did you mean "wifi"?'),
        (["--name", "x", "--as", "raspberry-pi-44"], 'no device profile "raspberry-pi-44"'),
        (["--name", "x", "--as", "esp32-s3"], "names no cores"),
        (
            ["--name", "x", "--as", "raspberry-pi-4", "--threads", "2"],
            "--threads: raspberry-pi-4 decides that",
        ),
        (["--name", "raspberry-pi-4", "--as", "raspberry-pi-4"], "is the device itself"),
        (["--name", "x", "--as", "raspberry-pi-4", "--kind", "phone"], "--kind: raspberry-pi-4 decides that"),
        (
            ["--name", "x", "--as", "raspberry-pi-4", "--ssh", "me@there"],
            "--ssh: raspberry-pi-4 decides that",
        ),
        (["--name", "x", "--cores", "0;1"], '--cores: "0;1" is no list of cores such as 0,1'),
        (["--name", "x", "--port", "22"], "--port goes with --ssh"),
        (["--name", "x", "--ssh", "-oProxyCommand=x"], "is no destination; write user@board"),
        (["--name", "x", "--only", "two thirds"], 'no shape or label "two thirds"'),
        (["--name", "x", "--cores", "999"], "this process may run on the cores"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_timed(
    bundle: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = edgesim(tmp_path, "profile", bundle, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "device_profiles" / "x.yaml").exists()
    assert not (tmp_path / "device_profiles" / "x.jsonl").exists()


@pytest.mark.parametrize(
    "options", [["--budget", "3"], ["--only", "half"], ["--as", "raspberry-pi-4"], ["--ssh", "me@there"]]
)
def test_options_of_timing_do_not_go_with_timings(taken: str, tmp_path: Path, options: list[str]) -> None:
    done = edgesim(tmp_path, "profile", taken, "--name", "x", *options)
    assert done.returncode == 2
    assert f"{options[0]}: {taken} is timed already; give a bundle" in done.stderr


def test_fetched_timings_are_not_lost_to_others(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("")
    arguments = ("profile", bundle, "--name", "x", "--ssh", "me@there", "--timings", "t.jsonl")
    done = edgesim(tmp_path, *arguments)
    assert done.returncode == 2
    assert "t.jsonl: is there already; take it in by edgesim profile t.jsonl --name x" in done.stderr


@pytest.mark.parametrize("name", ["none", "none.jsonl"])
def test_a_source_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    done = edgesim(tmp_path, "profile", name, "--name", "x")
    assert done.returncode == 2
    assert name in done.stderr


def test_a_damaged_bundle_is_refused(bundle: str, tmp_path: Path) -> None:
    graph = next(Path(bundle).glob("graphs/*.onnx"))
    graph.write_bytes(b"x" + graph.read_bytes()[1:])
    done = edgesim(tmp_path, "profile", bundle, "--name", "x")
    assert done.returncode == 2
    assert "does not have the checksum" in done.stderr
