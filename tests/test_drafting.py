"""`edgesim init`: a scenario to begin with."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.document import open_document
from edgesim.drafting import Draft, write
from edgesim.errors import InputError
from edgesim.scenario import resolve_all
from tests.commands import edgesim


def test_without_a_terminal_nothing_is_asked_and_the_next_command_is_named(tmp_path: Path) -> None:
    done = edgesim(tmp_path, "init", "first.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "first.yaml: 20 slow and 10 fast devices: "
        "does training smaller sub-models on the slow ones finish the task sooner?",
        "The answer: edgesim compare first.yaml",
    ]


def test_it_is_a_question_and_ten_lines(tmp_path: Path) -> None:
    edgesim(tmp_path, "init")
    question, *lines = (tmp_path / "scenario.yaml").read_text().splitlines()
    assert question.startswith("# ")
    assert question.endswith("?")
    assert len(lines) == 10
    assert max(map(len, lines)) <= 110


def test_what_it_writes_can_be_compared(tmp_path: Path) -> None:
    edgesim(tmp_path, "init", "first.yaml")
    sets = ["--set", "stop.rounds=1", "--set", "training.epochs=1", "--set", "model=mlp", "--jobs", "1"]
    done = edgesim(tmp_path, "compare", "first.yaml", "--quiet", *sets)
    assert done.returncode == 0, done.stderr
    for variant in ("whole", "last-layers", "narrow"):
        assert f"| {variant} " in done.stdout
    assert "| raspberry-pi-3 " in done.stdout


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    done = edgesim(tmp_path, "init", "mine.yaml")
    assert done.returncode == 2
    assert done.stderr == "mine.yaml: is there already; give another name, or remove it\n"
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = edgesim(tmp_path, "init", "nowhere/first.yaml")
    assert done.returncode == 2
    assert "nowhere/first.yaml: cannot be written: " in done.stderr


@pytest.mark.parametrize(("file", "name"), [("my first one.yaml", "my-first-one"), ("?.yaml", "scenario")])
def test_the_scenario_is_called_as_its_file_as_far_as_names_go(tmp_path: Path, file: str, name: str) -> None:
    write(tmp_path / file, Draft())
    assert resolve_all(open_document(str(tmp_path / file)))[0].scenario.name == name


def test_no_draft_is_written_that_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no device profile "toaster"'):
        write(tmp_path / "toast.yaml", Draft(slow_profile="toaster"))
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_asks_and_asks_again_where_an_answer_is_wrong(tmp_path: Path) -> None:
    answers = ["4", "raspbery-pi-4", "raspberry-pi-4", "", "", "mlp", "90", "0.8"]
    shown = _on_a_terminal(tmp_path, answers)
    assert 'no device profile "raspbery-pi-4"; did you mean "raspberry-pi-4"?' in shown
    assert 'must be a share between 0 and 1, as in 0.9, got "90"' in shown
    (scenario, *_) = (each.scenario for each in resolve_all(open_document(str(tmp_path / "scenario.yaml"))))
    assert [(group.profile, group.count) for group in scenario.fleet] == [
        ("raspberry-pi-4", 4),
        ("jetson-orin-nano", 10),
    ]
    assert scenario.stop.target == {"accuracy": 0.8}


def _on_a_terminal(folder: Path, answers: list[str]) -> str:
    """What the command shows on a terminal where somebody types these lines."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "edgesim", "init"]
    process = subprocess.Popen(command, cwd=folder, stdin=its, stdout=its, stderr=its)
    os.close(its)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side has hung up
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()
