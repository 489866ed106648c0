"""edgesim in Python: a scenario as a path, a name or a mapping, and results that a notebook can show."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import edgesim
from edgesim import yaml_source

TINY: dict[str, Any] = {
    "name": "tiny",
    "model": {"name": "mlp", "hidden": [8]},
    "dataset": "digits",
    "fleet": [
        {"profile": "jetson-orin-nano", "count": 3},
        {"profile": "raspberry-pi-4", "count": 3, "compute": {"scale": 0.5, "jitter": 0.2}},
    ],
    "coordination": {"name": "synchronous", "clients_per_round": 3},
    "training": {"batch_size": 100},
    "stop": {"rounds": 2, "target": {"accuracy": 0.99}},
    "variants": {"fedavg": {"submodel": "full"}, "fedpmt": {"submodel": {"name": "fedpmt", "depth": 1}}},
}


def refusal(scenario: Any, **arguments: Any) -> str:
    with pytest.raises(edgesim.InputError) as caught:
        edgesim.run(scenario, **arguments)
    return str(caught.value)


@pytest.fixture(scope="module")
def comparison() -> edgesim.Comparison:
    return edgesim.compare(TINY, seeds=(1, 2), timing_only=True)


def test_a_mapping_gives_the_run_of_the_file_that_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml_source.dump(TINY))
    of_file = edgesim.run(tmp_path / "tiny.yaml", variant="fedavg", seed=5)
    of_mapping = edgesim.run(TINY, variant="fedavg", seed=5)
    assert of_mapping.scenario_yaml == of_file.scenario_yaml
    assert of_mapping.manifest == of_file.manifest
    for name, table in of_file.tables.items():
        pd.testing.assert_frame_equal(of_mapping.tables[name], table)


def test_nothing_is_kept_on_disk_unless_it_is_said_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edgesim.run("quickstart", variant="fedavg", timing_only=True, overrides={"stop.rounds": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_cell_can_be_run_again_and_its_run_be_read(tmp_path: Path) -> None:
    for _ in range(2):
        result = edgesim.run(TINY, variant="fedavg", timing_only=True, out=tmp_path)
    again = edgesim.read(str(tmp_path / "tiny" / "fedavg-seed1"))
    assert again.summary == result.summary
    with pytest.raises(edgesim.InputError, match="holds a run already"):
        edgesim.run(TINY, variant="fedavg", timing_only=True, out=tmp_path, overwrite=False)


def test_nothing_is_printed_unless_progress_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    edgesim.run(TINY, variant="fedavg", timing_only=True)
    assert capfd.readouterr() == ("", "")
    edgesim.run(TINY, variant="fedavg", timing_only=True, progress=True)
    assert "fedavg seed 1" in capfd.readouterr().err


def test_variants_are_compared_over_three_seeds_unless_others_are_given(
    comparison: edgesim.Comparison,
) -> None:
    assert [run.manifest["seed"]["timing"] for run in comparison.runs] == [1, 2, 1, 2]
    alone = edgesim.compare(TINY, variants=["fedpmt"], timing_only=True)
    assert [(run.manifest["variant"], run.manifest["seed"]["timing"]) for run in alone.runs] == [
        ("fedpmt", 1),
        ("fedpmt", 2),
        ("fedpmt", 3),
    ]


def test_finished_runs_are_compared_as_results_and_as_directories(
    comparison: edgesim.Comparison, tmp_path: Path
) -> None:
    assert edgesim.compare(comparison.runs) == comparison
    kept = edgesim.compare(TINY, seeds=(1, 2), timing_only=True, out=tmp_path)
    assert edgesim.compare(tmp_path / "tiny") == kept == comparison
    for wrong in ([], [comparison.runs[0], tmp_path], [tmp_path / "nothing"]):
        with pytest.raises(edgesim.InputError, match="compare takes a scenario"):
            edgesim.compare(wrong)


def test_a_comparison_is_a_frame_in_base_units_and_a_table_in_a_notebook() -> None:
    compared = edgesim.compare(TINY, seeds=(1, 2))
    frame = compared.frame()
    assert list(frame.index) == ["fedavg", "fedpmt"]
    assert list(frame["seconds_to_target"]) == [math.inf, math.inf]
    assert list(frame["reached"]) == [0, 0]
    assert list(frame["runs"]) == [2, 2]
    assert frame["speedup"].isna().all()
    assert (frame["virtual_s_low"] <= frame["virtual_s"]).all()
    assert (frame["bytes_up"]["fedpmt"] < frame["bytes_up"]["fedavg"]).all()
    shown = compared._repr_html_()
    assert "<th>time to target</th>" in shown
    assert "not reached 2/2" in shown


def test_what_is_shown_in_a_notebook_is_escaped() -> None:
    run = edgesim.run(TINY, variant="fedavg", timing_only=True)
    assert repr(run) == "RunResult(tiny, fedavg, seed 1)"
    hostile = edgesim.RunResult(
        run.scenario_yaml, {**run.manifest, "scenario": "<script>"}, run.summary, run.tables, run.weights
    )
    for shown in (hostile, edgesim.compare([hostile])):
        assert "<script>" not in shown._repr_html_()
        assert "&lt;script&gt;" in shown._repr_html_()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainig": {}}, 'scenario: trainig: unknown key; did you mean "training"?'),
        (
            {"fleet": [{"profile": "pixel6", "count": 1}]},
            'scenario: fleet[0].profile: no device profile "pixel6"',
        ),
        (
            {"stop": {"rounds": object()}},
            "scenario: stop.rounds: must be text, a number, true, false, a list",
        ),
        ({"stop": {"time": math.inf}}, "scenario: stop.time: is no finite number: inf"),
        ({3: "three"}, "scenario: a key must be text, got 3"),
        ({"stop": {"time": 30}}, "scenario: stop.time: needs a unit"),
        ({"variants": {"thin": {"submodel": "fedmpt"}}}, "scenario, variant thin: submodel: no submodel"),
    ],
)
def test_a_mapping_is_held_against_the_same_rules(changes: dict[Any, Any], message: str) -> None:
    variant = next(iter({**TINY, **changes}["variants"]))
    assert message in refusal({**TINY, **changes}, variant=variant)


def test_numbers_of_numpy_paths_and_tuples_are_taken_for_what_they_say() -> None:
    scenario = {
        **TINY,
        "stop": {"rounds": np.int64(1)},
        "data_root": Path("data"),
        "fleet": tuple(TINY["fleet"]),
    }
    run = edgesim.run(scenario, variant="fedavg", timing_only=True, overrides={"fleet[0].count": np.int64(4)})
    assert (run.summary["aggregations"], run.summary["participation"]["jetson-orin-nano"]["devices"]) == (
        1,
        4,
    )


def test_a_scenario_with_variants_says_which_to_choose_from() -> None:
    assert refusal(TINY).startswith("scenario: has variants (fedavg, fedpmt): choose one")


def test_what_is_offered_can_be_imported_and_nothing_heavy_is_loaded_for_it() -> None:
    for name in edgesim.__all__:
        assert getattr(edgesim, name) is not None
    assert sorted(edgesim.__all__) == edgesim.__all__ == dir(edgesim)
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        edgesim.rum  # noqa: B018
    code = "import sys, edgesim; sys.exit(bool({'torch', 'pandas', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, edgesim; edgesim.read; sys.exit(bool({'torch', 'simpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
