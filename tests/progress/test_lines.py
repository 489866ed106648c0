"""Runs as plain lines."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from edgesim.progress.lines import ROUNDS_EVERY_S, RUNS_EVERY_S, Lines
from edgesim.server.plan import StopRule
from tests.commands import edgesim
from tests.progress.moments import HostClock, moment

LATE = """\
name: late
model: {name: mlp, hidden: [8]}
dataset: digits
fleet:
  - {profile: jetson-orin-nano, count: 3}
  - {profile: raspberry-pi-4, count: 3, compute: {scale: 0.08}}
submodel: full
coordination: {name: deadline, clients_per_round: 4, over_selection: 1, deadline: 1 s, minimum_fraction: 0.1}
training: {batch_size: 100}
stop: {rounds: 5}
"""


def lines(*, apart: bool = False) -> tuple[Lines, list[str], HostClock]:
    written: list[str] = []
    clock = HostClock()
    return Lines("fedavg seed 1", apart=apart, write=written.append, now=clock), written, clock


def test_a_round_says_how_many_results_and_failures_it_had_and_why() -> None:
    run, written, _ = lines()
    run.follow(moment(3.0, 1, outcomes={"aggregated": 10}, metrics={"loss": 2.0, "accuracy": 0.5}))
    run.follow(moment(6.5, 2, outcomes={"aggregated": 17, "late": 2, "dropped": 1}, metrics={}))
    assert written == [
        "round 1  t=3.0 s  10 results, 0 failures  accuracy 50.0 %",
        "round 2  t=6.5 s  7 results, 3 failures (2 late, 1 dropped)",
    ]


def test_rounds_that_come_too_fast_share_a_line_and_no_failure_goes_untold() -> None:
    run, written, clock = lines()
    for rounds in range(1, 31):
        clock.now_s += ROUNDS_EVERY_S / 4
        run.follow(moment(1.0 * rounds, rounds, outcomes={"aggregated": 9 * rounds, "late": rounds}))
    assert len(written) == 10 + 20 / 4
    assert written[10].startswith("rounds 11-14  t=14.0 s  36 results, 4 failures (4 late)")
    assert written[11].startswith("rounds 15-18  t=18.0 s  36 results, 4 failures (4 late)")


def test_the_end_tells_what_is_left_also_of_a_round_that_was_cut_off() -> None:
    run, written, _ = lines()
    run.follow(moment(1.0, 1, outcomes={"aggregated": 4}, metrics={}))
    run.follow(moment(2.0, 1, outcomes={"aggregated": 4, "dropped": 2}, metrics={}, ended=True))
    run.finish("2.0 s of virtual time")
    run.follow(moment(9.0, 9))
    assert written[1:] == [
        "round 2 (cut off)  t=2.0 s  0 results, 2 failures (2 dropped)",
        "fedavg seed 1: 2.0 s of virtual time",
    ]


def test_one_run_of_many_says_which_it_is_and_speaks_less() -> None:
    run, written, clock = lines(apart=True)
    run.follow(moment(1.0, 1, outcomes={"aggregated": 4}, metrics={}))
    clock.now_s += RUNS_EVERY_S
    run.follow(moment(2.0, 2, outcomes={"aggregated": 8}, metrics={}))
    assert written == ["fedavg seed 1: rounds 1-2  t=2.0 s  8 results, 0 failures"]


def test_metrics_that_are_no_accuracies_are_plain_numbers() -> None:
    run, written, _ = lines()
    run.follow(moment(1.0, 1, stop=StopRule(), metrics={"gap": 0.012345}))
    assert written[0].endswith("  gap 0.01235")


def test_piped_a_run_tells_its_rounds_on_stderr_and_nothing_else_than_json_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "late.yaml").write_text(LATE)
    done = edgesim(tmp_path, "run", "late.yaml", "--json")
    assert json.loads(done.stdout)["aggregations"] == 5
    *told, end = done.stderr.splitlines()
    run = tmp_path / "runs" / "late" / "main-seed1"
    merged = pd.read_parquet(run / "aggregations.parquet")
    late = pd.read_parquet(run / "dispatches.parquet").query("outcome == 'late'")
    for number, (row, line) in enumerate(zip(merged.itertuples(), told, strict=True)):
        since_s = 0.0 if number == 0 else merged["time_s"][number - 1]
        failed = late["finished_s"].between(since_s, row.time_s).sum()
        why = f" ({failed} late)" if failed else ""
        beginning = f"round {number + 1}  t={row.time_s:.1f} s  {row.updates} results, {failed} failure"
        assert line.startswith(beginning)
        assert f"{why}  accuracy " in line
    assert len(late) > 0
    assert end.endswith(
        f"(rounds), {merged['updates'].sum()} results, {len(late)} failures ({len(late)} late)"
    )


def test_quiet_a_run_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "late.yaml").write_text(LATE)
    assert edgesim(tmp_path, "run", "late.yaml", "--timing-only", "--quiet").stderr == ""
