"""`edgesim verify`: what it prints, how it ends, and that runs of all shipped scenarios keep the laws."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from edgesim.catalogue import listed
from edgesim.document import open_document
from tests.commands import edgesim
from tests.originals import ORIGINALS

SHORT = ("--set", "stop={rounds: 3, time: 6 h}", "--quiet")
TRAINED = ("quickstart", "fedpmt", "stop={rounds: 4}")

SHIPPED = [
    (name, variant)
    for name in listed("scenarios")["scenarios"]
    if "/"
    not in name  # those of papers and theory are the same parts once more, and run in test_reproductions
    for variant in open_document(name).variants or (None,)
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a short run of the quick start that trains."""
    folder = tmp_path_factory.mktemp("trained")
    name, variant, stop = TRAINED
    done = edgesim(folder, "run", name, "--variant", variant, "--set", stop, "--quiet")
    assert done.returncode == 0, done.stderr
    return folder / "runs" / name / f"{variant}-seed1"


def test_a_run_that_trained_keeps_the_laws_and_learnt(trained: Path) -> None:
    done = edgesim(trained.parent, "verify", trained.name)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert "ok      phases add up: 40 visits" in lines
    assert lines[-3].startswith("ok      the model learnt: the training loss was ")
    assert lines[-1].startswith(f"{trained.name}: ")


def test_json_is_the_only_thing_on_stdout(trained: Path) -> None:
    found = json.loads(edgesim(trained.parent, "verify", trained.name, "--json").stdout)
    assert found["kept"] is True
    assert found["laws"][0] == {"law": "the clock is monotone", "state": "ok", "detail": "40 dispatches"}


def test_a_broken_law_ends_with_1_and_names_the_place(trained: Path, tmp_path: Path) -> None:
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    dispatches = pd.read_parquet(tmp_path / "dispatches.parquet")
    dispatches.loc[7, "compute_s"] += 1.0
    dispatches.to_parquet(tmp_path / "dispatches.parquet")
    done = edgesim(tmp_path, "verify", ".")
    assert done.returncode == 1
    assert "broken  phases add up: dispatch 7: its phases end at " in done.stdout
    assert json.loads(edgesim(tmp_path, "verify", ".", "--json").stdout)["kept"] is False


def test_what_is_no_finished_run_ends_with_2(tmp_path: Path) -> None:
    done = edgesim(tmp_path, "verify", "nowhere")
    assert done.returncode == 2
    assert "nowhere: there is no such folder" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("name", "variant"), SHIPPED, ids=[f"{name}-{variant}" for name, variant in SHIPPED])
def test_every_shipped_scenario_keeps_the_laws(name: str, variant: str | None, tmp_path: Path) -> None:
    chosen = () if variant is None else ("--variant", variant)
    if ORIGINALS.is_dir():
        chosen += ("--data-root", str(ORIGINALS))
    done = edgesim(tmp_path, "run", name, *chosen, *SHORT, "--timing-only")
    if done.returncode == 2 and "--timing-only trains nothing" in done.stderr:
        done = edgesim(tmp_path, "run", name, *chosen, *SHORT)
    if done.returncode == 2 and "EDGESIM_DATA" in done.stderr:
        pytest.skip(f"its data is not here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").glob("*/*")
    verified = edgesim(run, "verify", ".")
    assert verified.returncode == 0, verified.stdout
