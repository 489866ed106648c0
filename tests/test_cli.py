"""The commands as a user meets them: what they print, what they leave behind, how they end."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.commands import edgesim

EDGESIM = [sys.executable, "-m", "edgesim"]

TINY = """\
# A federation that trains in a second.
name: tiny
model: {name: mlp, hidden: [8]}
dataset: digits
fleet:
  - {profile: jetson-orin-nano, count: 3}
  - {profile: raspberry-pi-4, count: 3, compute: {scale: 0.5, jitter: 0.2}}
coordination: {name: synchronous, clients_per_round: 3}
training: {batch_size: 100}
stop: {rounds: 3, target: {accuracy: 0.99}}
variants:
  fedavg: {submodel: full}
  fedpmt: {submodel: {name: fedpmt, depth: 1}}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    """Of every file that has no host seconds in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "summary.json"
    }


def test_compare_prints_a_table_and_leaves_a_directory_per_run(tiny: Path) -> None:
    done = edgesim(tiny, "compare", "tiny.yaml", "--seeds", "1,2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "not reached 2/2" in done.stdout
    assert sorted(path.name for path in (tiny / "runs" / "tiny").iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "fedavg-seed1",
        "fedavg-seed2",
        "fedpmt-seed1",
        "fedpmt-seed2",
    ]
    assert sorted(path.name for path in (tiny / "runs" / "tiny" / "fedavg-seed1").iterdir()) == [
        "aggregations.parquet",
        "coverage.parquet",
        "data_split.parquet",
        "devices.parquet",
        "dispatches.parquet",
        "divergence.parquet",
        "evaluations.parquet",
        "manifest.json",
        "model.safetensors",
        "origins.parquet",
        "participation.parquet",
        "scenario.yaml",
        "summary.json",
        "timeline.json.gz",
    ]


def test_two_processes_leave_the_same_bytes_as_one(tiny: Path) -> None:
    for jobs in ("1", "2"):
        done = edgesim(tiny, "compare", "tiny.yaml", "--jobs", jobs, "--out", f"jobs{jobs}", "--quiet")
        assert done.returncode == 0, done.stderr
    assert digests(tiny / "jobs1") == digests(tiny / "jobs2")


def test_the_resolved_scenario_of_a_run_gives_the_same_run(tiny: Path) -> None:
    edgesim(tiny, "run", "tiny.yaml", "--variant", "fedpmt", "--seed", "5")
    first = tiny / "runs" / "tiny" / "fedpmt-seed5"
    again = edgesim(tiny, "run", str(first / "scenario.yaml"), "--out", "again")
    assert again.returncode == 0, again.stderr
    second = tiny / "again" / "tiny" / "main-seed5"
    one, other = digests(first), digests(second)
    del one["manifest.json"], other["manifest.json"]  # they name the variant
    assert one == other


def test_json_is_the_only_thing_on_stdout(tiny: Path) -> None:
    run = edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--json")
    assert json.loads(run.stdout)["aggregations"] == 3
    compared = json.loads(edgesim(tiny, "compare", "runs/tiny", "--json").stdout)
    assert compared["scenario"] == "tiny"
    (variant,) = compared["variants"]
    expected = {"name", "seeds", "seconds_to_target", "speedup", "final_accuracy", "bytes_up", "energy_j"}
    assert expected | {"participation"} <= set(variant)
    assert variant["seconds_to_target"]["median"] is None
    assert (variant["seconds_to_target"]["reached"], variant["seconds_to_target"]["runs"]) == (0, 1)
    assert json.loads(edgesim(tiny, "plan", "tiny.yaml", "--json").stdout)["variants"][0]["classes"]
    assert json.loads(edgesim(tiny, "list", "devices", "--json").stdout)["devices"]["pixel-6"]
    assert json.loads(edgesim(tiny, "schema").stdout)["properties"]["fleet"]


def test_a_run_that_is_played_is_the_same_run(tiny: Path) -> None:
    run = ("run", "tiny.yaml", "--variant", "fedavg", "--timing-only", "--json")
    plain = json.loads(edgesim(tiny, *run).stdout)
    played = edgesim(tiny, *run, "--realtime", "1e9", "--out", "played")
    assert json.loads(played.stdout)["virtual_s"] == plain["virtual_s"]
    assert edgesim(tiny, *run, "--realtime", "0").returncode == 2


def test_a_second_run_into_the_same_directory_needs_overwrite(tiny: Path) -> None:
    first = edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--timing-only")
    before = digests(tiny)
    second = edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--timing-only")
    assert (first.returncode, second.returncode) == (0, 2)
    assert "replace it with --overwrite" in second.stderr
    assert digests(tiny) == before
    assert (
        edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--timing-only", "--overwrite").returncode
        == 0
    )


def test_nothing_of_a_comparison_starts_where_one_of_its_directories_is_taken(tiny: Path) -> None:
    edgesim(tiny, "run", "tiny.yaml", "--variant", "fedpmt", "--timing-only")
    done = edgesim(tiny, "compare", "tiny.yaml", "--timing-only")
    assert done.returncode == 2
    assert not (tiny / "runs" / "tiny" / "fedavg-seed1").exists()


def test_run_on_a_scenario_with_variants_lists_them(tiny: Path) -> None:
    done = edgesim(tiny, "run", "tiny.yaml")
    assert done.returncode == 2
    assert "fedavg, fedpmt" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "nowhere.yaml"],
            "nowhere.yaml: there is no such file; edgesim init nowhere.yaml writes one to begin with",
        ),
        (["compare", "quickstat"], 'no scenario "quickstat"; did you mean "quickstart"?'),
        (["compare", "tiny.yaml", "--variant", "fedpm"], 'no variant "fedpm"; did you mean "fedpmt"?'),
        (["compare", "tiny.yaml", "--seeds", "1,x"], "--seeds: must be whole numbers with commas"),
        (["compare", "tiny.yaml", "--seeds", "1,1"], "--seeds: each seed once"),
        (
            ["plan", "tiny.yaml", "--set", "fleet[0].profile=pixel6"],
            'no device profile "pixel6"; did you mean "pixel-6"?',
        ),
        (["plan", "tiny.yaml", "--device", "gpu"], "execution.device"),
        (["plan", "tiny.yaml", "--set", "dataset=mnist", "--data-root", "."], "train-images-idx3-ubyte"),
        (["validate", "tiny.yaml", "--set", "stop.round=3"], 'unknown key; did you mean "rounds"?'),
        (["schema", "fleet"], 'no schema "fleet"'),
        (["list", "device"], 'did you mean "devices"?'),
        (["run", "tiny.yaml", "--variant", "fedavg", "--out", "tiny.yaml"], "tiny.yaml"),
        (
            ["run", "tiny.yaml", "--variant", "fedavg", "--timing-only", "--set", "stop.rounds=null"],
            "stop.target: is the only stop",
        ),
        (["frobnicate"], "frobnicate"),
        (["run"], "SCENARIO"),
    ],
)
def test_wrong_input_ends_with_2_and_a_message_and_writes_nothing(
    tiny: Path, arguments: Sequence[str], message: str
) -> None:
    done = edgesim(tiny, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tiny.iterdir()] == ["tiny.yaml"]


def test_validate_tells_all_errors_of_all_files_with_their_lines(tiny: Path) -> None:
    (tiny / "broken.yaml").write_text(TINY.replace("count: 3", "count: 0").replace("rounds: 3", "rounds: x"))
    done = edgesim(tiny, "validate", "tiny.yaml", "broken.yaml")
    assert done.returncode == 2
    assert done.stdout == "tiny.yaml: a valid scenario of 6 devices with 2 variants\n"
    for place in (
        "broken.yaml:6: fleet[0].count",
        "broken.yaml:7: fleet[1].count",
        "broken.yaml:10: stop.rounds",
    ):
        assert place in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("availability={name: trace, file: none.csv}", "fleet[0].availability.file: there is no file"),
        (
            "network={downlink: {trace: none.csv, column: a, unit: Mbit/s}, uplink: 1 Mbit/s}",
            "none.csv: there is no such file",
        ),
    ],
)
def test_validate_reads_the_files_that_a_fleet_names(tiny: Path, change: str, message: str) -> None:
    done = edgesim(tiny, "validate", "tiny.yaml", "--set", f"fleet[0].{change}")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_failed_run_ends_with_1_and_its_manifest_says_so(tiny: Path) -> None:
    starved = ["--set", "fleet=[{profile: renesas-ek-ra8d1, count: 3}]", "--set", "model=fedavg_cnn"]
    done = edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--set", "stop={rounds: 200}", *starved)
    assert done.returncode == 1
    assert "out_of_memory" in done.stderr
    assert "Traceback" not in done.stderr
    manifest = json.loads((tiny / "runs" / "tiny" / "fedavg-seed1" / "manifest.json").read_text())
    assert manifest["status"] == "failed"


def test_an_interrupted_run_ends_with_130_and_its_manifest_says_so(tiny: Path) -> None:
    command = [*EDGESIM, "run", "tiny.yaml", "--variant", "fedavg", "--set", "stop={rounds: 1000000}"]
    process = subprocess.Popen(command, cwd=tiny, stderr=subprocess.PIPE, text=True)
    manifest = tiny / "runs" / "tiny" / "fedavg-seed1" / "manifest.json"
    deadline = time.monotonic() + 60
    while not manifest.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert json.loads(manifest.read_text())["status"] == "interrupted"


def test_timing_only_leaves_the_timeline_and_no_model(tiny: Path) -> None:
    done = edgesim(tiny, "run", "tiny.yaml", "--variant", "fedavg", "--timing-only")
    assert done.returncode == 0
    run = tiny / "runs" / "tiny" / "fedavg-seed1"
    assert not (run / "model.safetensors").exists()
    assert len(pd.read_parquet(run / "dispatches.parquet")) == 9


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['edgesim', '--help']; from edgesim.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print({'torch', 'pandas', 'scipy', 'simpy', 'pint'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
    assert all(name in done.stdout for name in ("run", "compare", "plan", "validate", "schema", "list"))


def test_a_process_ends_with_its_code_having_printed_everything_and_nothing_else(tiny: Path) -> None:
    arguments = ("compare", "tiny.yaml", "--jobs", "2", "--quiet", "--json")
    done = subprocess.run([*EDGESIM, *arguments], cwd=tiny, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["variants"]) == 2
    again = subprocess.run([*EDGESIM, *arguments], cwd=tiny, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "--overwrite" in again.stderr


def test_retime_writes_a_run_directory_that_compare_takes(tiny: Path) -> None:
    edgesim(tiny, "compare", "tiny.yaml", "--jobs", "1")
    for variant in ("fedavg", "fedpmt"):
        run = f"runs/tiny/{variant}-seed1"
        done = edgesim(tiny, "retime", run, "--set", "fleet[1].compute.scale=0.1", "--json")
        assert done.returncode == 0, done.stderr
        trained = json.loads((tiny / run / "summary.json").read_text())
        retimed = json.loads(done.stdout)
        assert retimed["final"]["accuracy"] == trained["final"]["accuracy"]
        assert retimed["virtual_s"] > trained["virtual_s"]
    again = edgesim(tiny, "retime", "runs/tiny/fedavg-seed1")
    assert again.returncode == 2
    assert "holds a run already (finished); replace it with --overwrite" in again.stderr
    compared = edgesim(tiny, "compare", "retimed/tiny")
    assert compared.returncode == 0, compared.stderr
    refused = edgesim(tiny, "retime", "runs/tiny/fedavg-seed1", "--set", "training.epochs=2", "--out", "x")
    assert refused.returncode == 2
    assert refused.stderr.startswith("training: changes what is learnt")
    assert not (tiny / "x").exists()


def test_compare_writes_how_sure_its_ranking_is(tiny: Path) -> None:
    arguments = ("--set", "stop.target.accuracy=0.1", "--sensitivity", "20", "--jobs", "1")
    done = edgesim(tiny, "compare", "tiny.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    assert "drawn 20 times within their ranges" in done.stdout
    written = json.loads((tiny / "runs" / "tiny" / "comparison.json").read_text())
    assert written["sensitivity"]["draws"] == 20
    finished = edgesim(tiny, "compare", "runs/tiny", "--sensitivity", "20", "--json")
    assert json.loads(finished.stdout)["sensitivity"] == written["sensitivity"]


def test_a_sensitivity_that_cannot_be_known_is_refused_before_anything_is_trained(tiny: Path) -> None:
    policy = "coordination={name: deadline, clients_per_round: 2, deadline: 1 h}"
    done = edgesim(tiny, "compare", "tiny.yaml", "--set", policy, "--sensitivity", "20")
    assert done.returncode == 2
    assert 'coordination: "deadline" merges by arrival' in done.stderr
    assert not (tiny / "runs").exists()
