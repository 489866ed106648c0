"""The directory of a run: who may write into it, what is there when, and what is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edgesim.errors import InputError, RunFailed
from edgesim.results.directory import RunDirectory
from edgesim.results.run import RunResult, finished_runs, manifest, read, read_manifest
from tests.results.golden_run import HEADER, result, timing_only


def write(path: Path, run: RunResult, *, overwrite: bool = False) -> None:
    header = {key: value for key, value in run.manifest.items() if key != "status"}
    with RunDirectory(path, header, overwrite=overwrite) as directory:
        directory.finish(run)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def assert_equal(found: RunResult, expected: RunResult) -> None:
    assert found.scenario_yaml == expected.scenario_yaml
    assert found.manifest == expected.manifest
    assert found.summary == expected.summary
    assert list(found.tables) == list(expected.tables)
    for name, table in expected.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table)
    assert (found.weights is None) == (expected.weights is None)
    for name, value in (expected.weights or {}).items():
        assert found.weights is not None
        assert found.weights[name].dtype == value.dtype
        np.testing.assert_array_equal(found.weights[name], value)


# ------------------------------------------------------------------------------------------------ round trip


@pytest.mark.parametrize("make", [result, timing_only])
def test_reading_gives_back_what_was_written(make: Callable[[], RunResult], tmp_path: Path) -> None:
    write(tmp_path / "run", make())
    assert_equal(read(tmp_path / "run"), make())


def test_a_finished_run_has_the_files_of_the_design(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    assert sorted(contents(tmp_path / "run")) == [
        "aggregations.parquet",
        "closed_form.parquet",
        "coverage.parquet",
        "data_split.parquet",
        "devices.parquet",
        "dispatches.parquet",
        "divergence.parquet",
        "evaluations.parquet",
        "growth.parquet",
        "links.parquet",
        "manifest.json",
        "model.safetensors",
        "origins.parquet",
        "participation.parquet",
        "scenario.yaml",
        "summary.json",
        "timeline.json.gz",
    ]


def test_without_training_there_are_no_weights(tmp_path: Path) -> None:
    write(tmp_path / "run", timing_only())
    assert "model.safetensors" not in contents(tmp_path / "run")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "first", result())
    write(tmp_path / "second", result())
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_host_seconds_stand_in_the_summary_under_one_key_and_nowhere_else(tmp_path: Path) -> None:
    slower = replace(result(), summary={**result().summary, "wall_s": {"total": 99.0}})
    write(tmp_path / "first", result())
    write(tmp_path / "second", slower)
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert [name for name in first if first[name] != second[name]] == ["summary.json"]


def test_a_path_that_looks_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    write(tmp_path / "seed=1" / "run", result())
    assert_equal(read(tmp_path / "seed=1" / "run"), result())


def test_nothing_is_left_beside_the_directory(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# --------------------------------------------------------------------------------------------- while it runs


def test_while_a_run_is_under_way_its_manifest_is_alone(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run", HEADER, overwrite=False) as directory:
        assert list(contents(tmp_path / "run")) == ["manifest.json"]
        assert read_manifest(tmp_path / "run")["status"] == "running"
        directory.finish(result())
    assert read_manifest(tmp_path / "run")["status"] == "finished"


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (RunFailed, "failed"), (MemoryError, "failed")]
)
def test_a_run_that_ends_early_says_how(error: type[BaseException], status: str, tmp_path: Path) -> None:
    with pytest.raises(error), RunDirectory(tmp_path / "run", HEADER, overwrite=False):
        raise error
    assert read_manifest(tmp_path / "run")["status"] == status
    with pytest.raises(InputError, match=f"this run is {status}, and only finished runs have results"):
        read(tmp_path / "run")


def test_results_that_cannot_be_written_leave_none_of_them(tmp_path: Path) -> None:
    unwritable = replace(result(), summary={"energy_j": object()})
    with pytest.raises(TypeError), RunDirectory(tmp_path / "run", HEADER, overwrite=False) as directory:
        directory.finish(unwritable)
    assert list(contents(tmp_path / "run")) == ["manifest.json"]
    assert read_manifest(tmp_path / "run")["status"] == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_table_with_a_hole_in_it_is_not_written(tmp_path: Path) -> None:
    broken = result()
    holes = {**broken.tables, "coverage": broken.tables["coverage"].drop(columns="layer")}
    with (
        pytest.raises(ValueError, match="coverage has no column layer"),
        RunDirectory(tmp_path / "run", HEADER, overwrite=False) as directory,
    ):
        directory.finish(replace(broken, tables=holes))
    assert list(contents(tmp_path / "run")) == ["manifest.json"]


# --------------------------------------------------------------------------------------------- who may write


def test_a_second_run_needs_to_be_told_to_overwrite(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    before = contents(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"run: holds a run already \(finished\); replace it with --overwrite"
    ):
        write(tmp_path / "run", result())
    assert contents(tmp_path / "run") == before


def test_overwriting_replaces_every_file_of_the_earlier_run(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    write(tmp_path / "run", timing_only(), overwrite=True)
    assert_equal(read(tmp_path / "run"), timing_only())
    assert "model.safetensors" not in contents(tmp_path / "run")


def test_a_manifest_that_cannot_be_written_leaves_the_earlier_run_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    before = contents(tmp_path / "run")
    with pytest.raises(TypeError), RunDirectory(tmp_path / "run", {"seed": object()}, overwrite=True):
        pytest.fail("the run began")
    assert contents(tmp_path / "run") == before


def test_files_that_no_run_has_written_survive_overwriting(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    (tmp_path / "run" / "my-notes.txt").write_text("mine")
    write(tmp_path / "run", result(), overwrite=True)
    assert (tmp_path / "run" / "my-notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds files that are no run; give another folder with --out"):
        write(tmp_path, result(), overwrite=overwrite)
    assert contents(tmp_path) == {"thesis.tex": b"mine"}


def test_a_manifest_of_another_program_makes_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "extension"}')
    with pytest.raises(InputError, match='must be of format "edgesim run 1", found None'):
        write(tmp_path, result(), overwrite=True)
    assert contents(tmp_path) == {"manifest.json": b'{"name": "extension"}'}


def test_a_file_in_the_place_of_the_directory_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="run: is a file; give another folder with --out"):
        write(tmp_path / "run", result(), overwrite=True)


def test_a_file_in_the_place_of_a_parent_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        write(tmp_path / "runs" / "run", result())


def test_an_empty_folder_may_be_taken(tmp_path: Path) -> None:
    write(tmp_path, result())
    assert_equal(read(tmp_path), result())


# ------------------------------------------------------------------------------------------------- reading


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: there is no such folder; give a folder that edgesim run"):
        read(tmp_path / "absent")


def test_a_folder_without_manifest_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json, so it is no run directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "scenario.yaml",
        "manifest.json",
        "summary.json",
        "evaluations.parquet",
        "dispatches.parquet",
        "aggregations.parquet",
        "coverage.parquet",
        "model.safetensors",
    ],
)
def test_a_broken_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    (tmp_path / "run" / name).write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match=rf"{name}: is missing or broken \(.*\); run the scenario again"):
        read(tmp_path / "run")


@pytest.mark.parametrize("name", ["scenario.yaml", "summary.json", "coverage.parquet", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    (tmp_path / "run" / name).unlink()
    with pytest.raises(InputError, match=f"{name}: is missing or broken"):
        read(tmp_path / "run")


def test_a_manifest_that_says_too_little_is_broken(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    text = json.dumps({key: value for key, value in result().manifest.items() if key != "seed"})
    (tmp_path / "run" / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="it does not say seed"):
        read(tmp_path / "run")


def test_the_manifest_names_versions_and_host_but_no_folder_and_nobody() -> None:
    made = manifest(
        scenario="s", variant="v", seed={"learning": 1, "timing": 2}, device="cpu", timing_only=True
    )
    assert set(made["versions"]) == {"python", "edgesim", "numpy", "scipy", "simpy", "torch"}
    assert made["seed"] == {"learning": 1, "timing": 2}
    text = json.dumps(made)
    assert str(Path.home()) not in text.replace(str(Path("/")), "/")
    assert "/" not in text


def test_the_report_of_an_earlier_run_goes_with_its_results(tmp_path: Path) -> None:
    write(tmp_path / "run", result())
    (tmp_path / "run" / "report.html").write_text("")
    (tmp_path / "run" / "notes.txt").write_text("")
    write(tmp_path / "run", result(), overwrite=True)
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "notes.txt").exists()


def test_runs_in_a_folder_come_in_the_order_of_their_comparison(tmp_path: Path) -> None:
    for name in ("a-seed1", "b-seed1", "b-seed2", "new-seed1"):
        write(tmp_path / name, result())
    by_name = [path.name for path in finished_runs([tmp_path])]
    (tmp_path / "comparison.json").write_text('{"variants": [{"name": "b"}, {"name": "a"}]}')
    assert by_name == ["a-seed1", "b-seed1", "b-seed2", "new-seed1"]
    assert [path.name for path in finished_runs([tmp_path])] == ["b-seed1", "b-seed2", "a-seed1", "new-seed1"]
    assert finished_runs([tmp_path / "a-seed1"]) == [tmp_path / "a-seed1"]
