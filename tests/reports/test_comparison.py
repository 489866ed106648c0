"""Comparing variants over seeds: who finishes first, and what is said about those that never do."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgesim.errors import InputError, RunFailed
from edgesim.reports.comparison import compare, render, to_csv, to_json, write
from tests.reports.variants import run, timed

NUMBER = {"type": ["number", "null"]}
INTERVAL = {"type": "object", "required": ["median", "low", "high"], "additionalProperties": NUMBER}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["scenario", "target", "variants"],
    "properties": {
        "scenario": {"type": "string"},
        "target": {"type": ["object", "null"]},
        "variants": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "name",
                    "seeds",
                    "speedup",
                    "final_accuracy",
                    "bytes_up",
                    "energy_j",
                    "participation",
                ],
                "properties": {
                    "seconds_to_target": {
                        **INTERVAL,
                        "required": ["median", "low", "high", "reached", "runs"],
                    },
                    "speedup": NUMBER,
                    "final_accuracy": NUMBER,
                    "bytes_up": NUMBER,
                    "energy_j": NUMBER,
                    "participation": {"type": "object"},
                },
            },
        },
    },
}
"""What design section 5 says `edgesim compare --json` prints."""


def cells(text: str) -> list[list[str]]:
    """Rows of the tables in a text, without rules."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


THREE_SEEDS = [
    run("fedavg", 1, 100.0, bytes_up=3_000_000, energy_j=300.0),
    run("fedavg", 2, 92.0, bytes_up=1_000_000, energy_j=100.0),
    run("fedavg", 3, None, bytes_up=2_000_000, energy_j=200.0),
    run("fedpmt", 1, 50.0, warnings=["slow: late"]),
    run("fedpmt", 2, 23.0, warnings=["slow: late", "tiny: lost"]),
    run("fedpmt", 3, 40.0, energy_j=None, warnings=[]),
]


def test_the_json_says_what_the_design_says() -> None:
    found = to_json(compare(THREE_SEEDS))
    jsonschema.validate(found, SCHEMA)
    first, second = found["variants"]
    assert (found["scenario"], found["target"]) == ("golden", {"accuracy": 0.8})
    assert first["name"] == "fedavg"
    assert first["seeds"] == [1, 2, 3]
    assert first["seconds_to_target"] == {"median": 100.0, "low": 92.0, "high": None, "reached": 2, "runs": 3}
    assert first["speedup"] == 1.0
    assert first["final_accuracy"] == 0.85
    assert first["bytes_up"] == 2_000_000
    assert first["energy_j"] == 200.0
    assert second["seconds_to_target"] == {"median": 40.0, "low": 23.0, "high": 50.0, "reached": 3, "runs": 3}
    assert second["speedup"] == 4.0  # seed by seed 2, 4 and infinite


def test_energy_that_one_run_does_not_know_is_not_known() -> None:
    assert to_json(compare(THREE_SEEDS))["variants"][1]["energy_j"] is None


def test_participation_is_summed_over_the_seeds() -> None:
    found = compare(THREE_SEEDS).variants[0].participation
    assert found["fast"] == {
        "dispatched": 12,
        "aggregated": 6,
        "late": 0,
        "out_of_memory": 0,
        "visit_s": 4.25,
    }
    assert found["tiny"]["out_of_memory"] == 3
    assert found["tiny"]["visit_s"] is None


def test_a_variant_that_never_arrives_stands_in_the_table() -> None:
    text = render(compare([run("fedavg", 1, 9.0), run("fedgmr", 1, None), run("fedgmr", 2, None)]), 100)
    assert cells(text)[2][:3] == ["fedgmr", "not reached 2/2", "-"]


def test_the_tables_of_three_seeds() -> None:
    text = render(compare(THREE_SEEDS), 130)
    assert text.startswith("golden: time to accuracy 0.8; medians over seeds, in brackets their range\n")
    assert cells(text) == [
        ["variant", "time to target", "speed-up", "final accuracy", "bytes up", "energy"],
        ["fedavg", "1 min 40 s (1 min 32 s to never), not reached 1/3", "1x", "85.0 %", "2 MB", "200 J"],
        ["fedpmt", "40 s (23 s to 50 s)", "4x", "85.0 %", "250 B", "-"],
        ["device class", "fedavg", "fedpmt"],
        ["fast", "6/12", "6/12"],
        ["slow", "0/3 (3 late)", "0/3 (3 late)"],
        ["tiny", "0/3 (3 out of memory)", "0/3 (3 out of memory)"],
    ]


def test_a_warning_is_shown_once_with_its_seeds() -> None:
    text = render(compare(THREE_SEEDS), 100)
    assert "fedpmt, seed 1, 2: slow: late\n" in text
    assert "fedpmt, seed 2: tiny: lost\n" in text


def test_without_training_whole_runs_are_compared_and_accuracy_is_a_dash() -> None:
    comparison = compare([timed("fedavg", 1, 100.0), timed("fedpmt", 1, 50.0)])
    first = to_json(comparison)["variants"][0]
    assert first["seconds_to_target"] == {
        "median": None,
        "low": None,
        "high": None,
        "reached": None,
        "runs": 1,
    }
    assert (first["speedup"], first["final_accuracy"]) == (None, None)
    text = render(comparison, 100)
    assert "golden: whole runs\n" in text
    assert cells(text)[0] == [
        "variant",
        "time of the run",
        "aggregations",
        "final accuracy",
        "bytes up",
        "energy",
    ]
    assert cells(text)[2] == ["fedpmt", "50 s", "2", "-", "250 B", "60 J"]


def test_from_six_seeds_on_the_interval_is_a_bootstrap() -> None:
    found = compare([run("fedavg", seed, float(seed)) for seed in range(1, 21)]).variants[0].seconds_to_target
    assert found is not None
    assert 1.0 < found.low < found.median < found.high < 20.0
    assert found.median == 10.5


def test_the_same_seed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="variant fedavg was given twice with seed 1; give each run once"):
        compare([run("fedavg", 1, 1.0), run("fedavg", 1, 2.0)])


def test_different_targets_cannot_be_compared() -> None:
    with pytest.raises(
        InputError, match=r"stop\.target: .*'accuracy': 0\.8.* in variant fedavg .* give all the same"
    ):
        compare([run("fedavg", 1, 1.0), run("fedpmt", 1, 2.0, target={"accuracy": 0.9})])


def test_runs_of_several_scenarios_are_told_apart() -> None:
    other = run("main", 1, 2.0)
    other = replace(other, manifest={**other.manifest, "scenario": "cafe"})
    found = compare([run("main", 1, 1.0), other])
    assert (found.scenario, [variant.name for variant in found.variants]) == (
        "golden, cafe",
        ["golden/main", "cafe/main"],
    )


def test_halves_with_seeds_of_their_own_are_told_apart() -> None:
    runs = [run("fedavg", 1, 1.0), run("fedavg", 1, 3.0)]
    runs[1] = replace(runs[1], manifest={**runs[1].manifest, "seed": {"learning": 1, "timing": 2}})
    assert to_json(compare(runs))["variants"][0]["seeds"] == [1, {"learning": 1, "timing": 2}]
    assert next(csv.DictReader(io.StringIO(to_csv(compare(runs)))))["seeds"] == "1; 1/2"


def test_the_csv_has_a_row_per_variant_and_empty_cells_for_what_is_unknown() -> None:
    first, second = csv.DictReader(io.StringIO(to_csv(compare(THREE_SEEDS))))
    assert (first["name"], first["seconds_to_target.reached"], first["seconds_to_target.high"]) == (
        "fedavg",
        "2",
        "",
    )
    assert (second["energy_j"], second["participation.tiny.out_of_memory"]) == ("", "3")


def test_both_files_are_written(tmp_path: Path) -> None:
    comparison = compare(THREE_SEEDS)
    write(comparison, tmp_path / "runs")
    assert sorted(file.name for file in (tmp_path / "runs").iterdir()) == [
        "comparison.csv",
        "comparison.json",
    ]
    assert json.loads((tmp_path / "runs" / "comparison.json").read_text()) == to_json(comparison)
    assert (tmp_path / "runs" / "comparison.csv").read_text() == to_csv(comparison)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunFailed, match="runs: cannot be written"):
        write(compare(THREE_SEEDS), tmp_path / "runs")
