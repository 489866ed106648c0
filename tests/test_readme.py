"""The README says what is so: its commands run, and print what it shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import Done, edgesim

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SCENARIOS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
EXAMPLE = next(text for text in SCENARIOS if "name: example" in text)
TYPING_ERRORS = {"pixel-6": "pixel6", "20 Mbit/s": "20", "clients_per_round: 6": "clients_per_rounds: 6"}
TRANSCRIPTS = re.findall(r"```console\n\$ edgesim (.*?)\n(.*?)```", README, re.DOTALL)
MEASURED = "Here: about"  # the line that differs from host to host


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README takes to be in the current folder."""
    made = tmp_path_factory.mktemp("readme")
    (made / "example.yaml").write_text(EXAMPLE, encoding="utf-8")
    typo = EXAMPLE
    for right, wrong in TYPING_ERRORS.items():
        assert right in typo
        typo = typo.replace(right, wrong)
    (made / "typo.yaml").write_text(typo, encoding="utf-8")
    return made


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines() if not line.startswith(MEASURED)]


def shape(text: str) -> list[str]:
    """The lines of a comparison without its numbers: how a race ends may hang on the last bit of a weight."""
    named = [re.sub(r"[0-9.]+", "0", line.split("|")[1]) if "|" in line else "" for line in lines(text)]
    return [name.strip() for name in named if name.strip(" -")]


def ran(folder: Path, command: str) -> Done:
    return edgesim(folder, *shlex.split(command, comments=True))


@pytest.mark.long
def test_every_transcript_is_what_its_command_prints(folder: Path) -> None:
    """In the order of the README, as later commands read what earlier ones left."""
    for command, shown in TRANSCRIPTS:
        done = ran(folder, command)
        if command.startswith(("compare", "export")):
            assert (done.returncode, shape(done.stdout)) == (0, shape(shown)), command
        elif command.startswith(("retime", "verify", "report")):
            assert (done.returncode, len(lines(done.stdout))) == (0, len(lines(shown))), command
        else:
            assert lines(done.stdout + done.stderr) == lines(shown), command
            assert done.returncode == (2 if "typo" in command else 0), command


def test_the_example_is_valid_in_all_its_variants(folder: Path) -> None:
    assert edgesim(folder, "validate", "example.yaml").stdout.endswith(
        "a valid scenario of 12 devices with 3 variants\n"
    )


def test_every_command_that_the_table_names_is_there(folder: Path) -> None:
    named = re.findall(r"^\| `edgesim (\w+)", README, re.MULTILINE)
    assert {"run", "compare", "plan", "validate", "schema", "list"} <= set(named)
    for name in set(named):
        assert edgesim(folder, name, "--help").returncode == 0


def test_the_two_set_up_commands_stand_at_the_top_in_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README.split("## ")[0], re.DOTALL)
    assert [block.count("\n") for block in blocks] == [1, 1]
    assert "edgesim compare quickstart" in blocks[0]
    assert "pytest" in blocks[1]


def test_every_file_that_it_names_is_there() -> None:
    root = Path(__file__).parents[1]
    for path in re.findall(r"`((?:tests|edgesim|scenarios|device_profiles)/[\w/.-]+\.(?:py|yaml))`", README):
        assert (root / path).is_file(), path


def test_the_golden_timelines_are_what_their_command_writes(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    shutil.copytree(root / "tests", tmp_path / "tests")
    command = [sys.executable, "-m", "tests.golden"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
    for golden in (root / "tests" / "golden").glob("*.json"):
        assert (tmp_path / "tests" / "golden" / golden.name).read_bytes() == golden.read_bytes()


def test_the_recipe_that_it_shows_is_the_file_that_it_names() -> None:
    recipe = Path(__file__).parents[1] / "scenarios" / "bring-your-own-parts" / "round_robin.py"
    assert f"```python\n{recipe.read_text(encoding='utf-8')}```" in README


def test_the_scenario_that_it_shows_is_what_init_writes(folder: Path) -> None:
    edgesim(folder, "init", "slow-and-fast.yaml")
    assert (folder / "slow-and-fast.yaml").read_text(encoding="utf-8") in SCENARIOS


@pytest.mark.slow
def test_the_benchmarks_reach_their_targets() -> None:
    command = [sys.executable, "-m", "tests.benchmarks"]
    assert subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode == 0
