"""What the shell completes, as the shell asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_TORCH = (
    "import sys\n"
    "class Refused:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name in ('torch', 'simpy'): raise AssertionError(name)\n"
    "sys.meta_path.insert(0, Refused())\n"
    "sys.argv = ['edgesim']\n"
    "from edgesim.cli import main\n"
    "main()\n"
)


def completed(folder: Path, line: str) -> list[str]:
    """What bash is offered for the last word of a line, where loading PyTorch or SimPy would fail."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_EDGESIM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("edgesim compare quick", ["quickstart"]),
        ("edgesim run quickstart --variant fed", ["fedavg", "fedpmt"]),
        ("edgesim compare mine.yaml --variant ", ["thin", "wide"]),
        ("edgesim compare mine.yaml --variant=th", ["thin"]),
        ("edgesim run --variant ", []),
        ("edgesim run broken.yaml --variant ", []),
        ("edgesim plan mi", ["mine.yaml"]),
        ("edgesim profile bundle --as raspberry-pi-z", ["raspberry-pi-zero-2-w"]),
        ("edgesim list part", ["partitions"]),
        ("edgesim schema p", ["profile", "population"]),
        ("edgesim val", ["validate"]),
    ],
)
def test_names_are_completed_without_loading_torch(tmp_path: Path, line: str, offered: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text("variants: {thin: {}, wide: {}}")
    (tmp_path / "broken.yaml").write_text("variants: [")
    assert completed(tmp_path, line) == offered
