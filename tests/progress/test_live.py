"""Runs on a terminal, as text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from edgesim.progress.figures import LEVELS, sparkline
from edgesim.progress.live import LiveRun
from edgesim.progress.live_runs import LiveRuns
from edgesim.server.plan import StopRule, Target
from tests.progress.moments import HostClock, moment


def drawn(view: RenderableType, width: int, height: int = 24, encoding: str = "utf-8") -> list[str]:
    """The lines of a terminal of this size, without colours."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, color_system=None, legacy_windows=False)
    console.print(view)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def a_run(clock: HostClock) -> LiveRun:
    """After 12 of 40 rounds and 12 seconds."""
    run = LiveRun("fedavg seed 1", now=clock)
    for rounds in range(13):
        run.follow(moment(2.9 * rounds, rounds, target=0.9, metrics={"accuracy": 0.1 + 0.06 * rounds}))
    clock.now_s += 12
    return run


def test_a_run_with_its_clock_its_rounds_its_devices_and_what_is_left() -> None:
    assert drawn(a_run(HostClock()), 60) == [
        "fedavg seed 1",
        "virtual time    34.8 s",
        "rounds          12 of 40",
        "done            30 %  ━━━━━━━━━━╸",
        "accuracy        82.0 % of 90.0 %  ▁▁▁▁▂▂▃▃▃▃▄▄▅▅▅▅▅▆▆▇▇▇▇███",
        "visits          117 results, 3 failures (2 late, 1 dropped)",
        "devices         30",
        "  downloading    3  ████",
        "  computing      6  ████████",
        "  uploading      1  ██",
        "  waiting       20  ███████████████████████████",
        "  absent         0",
        "wall time       12 s, at most 28 s left",
    ]


def test_a_narrow_terminal_without_unicode_shows_the_same() -> None:
    assert drawn(a_run(HostClock()), 40, encoding="ascii") == [
        "fedavg seed 1",
        "virtual time    34.8 s",
        "rounds          12 of 40",
        "done            30 %  ----",
        "accuracy        82.0 % of 90.0 %  .-+*#@",
        "visits          117 results, 3 failures",
        "                (2 late, 1 dropped)",
        "devices         30",
        "  downloading    3  ##",
        "  computing      6  ####",
        "  uploading      1  #",
        "  waiting       20  ##############",
        "  absent         0",
        "wall time       12 s, at most 28 s left",
    ]


@pytest.mark.parametrize("width", [20, 30, 60, 80, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in drawn(a_run(HostClock()), width)) <= width


def test_a_run_that_only_a_target_ends_does_not_say_what_is_left() -> None:
    run = LiveRun("fedavg seed 1", now=HostClock())
    run.follow(moment(stop=StopRule(target=Target(metric="accuracy", value=0.9))))
    shown = drawn(run, 80)
    assert shown[-1] == "wall time       0 s, ends at the target"
    assert not [line for line in shown if line.startswith("done")]


def test_a_limit_of_time_stands_beside_the_clock_and_a_speed_where_it_is_played() -> None:
    run = LiveRun("fedavg seed 1", speed=60.0, now=HostClock())
    run.follow(moment(stop=StopRule(time_s=600.0)))
    assert "virtual time    34.5 s of 600.0 s, at 60 s per second" in drawn(run, 80)


def test_before_its_first_event_a_run_is_being_prepared() -> None:
    assert drawn(LiveRun("fedavg seed 1", now=HostClock()), 60) == ["fedavg seed 1", "preparing"]


def test_several_runs_have_a_line_each_and_one_for_all() -> None:
    clock = HostClock()
    runs = LiveRuns(clock)
    fedavg, fedpmt, _ = (runs.start(name) for name in ("fedavg seed 1", "fedpmt seed 1", "fedpmt seed 2"))
    assert drawn(runs, 60) == ["0 of 3 runs, preparing"]
    fedavg.follow(moment(60.0, 35))
    fedavg.finish("")
    fedpmt.follow(moment())
    clock.now_s += 13
    assert drawn(runs, 60) == [
        "fedavg seed 1  ━━━━━━━━━━━━  100 %  accuracy 81.2 %",
        "fedpmt seed 1  ━━━╸           30 %  accuracy 81.2 %",
        "1 of 3 runs, 13 s, 17 s left",
    ]
    assert drawn(runs, 110)[1].endswith("30 %  34.5 s  round 12  accuracy 81.2 %")


def test_where_there_is_no_room_the_runs_that_are_over_go_first() -> None:
    runs = LiveRuns(HostClock())
    for number in range(8):
        run = runs.start(f"run {number}")
        run.follow(moment())
        if number < 6:
            run.finish("")
    assert [line[:5] for line in drawn(runs, 60, height=5)] == ["run 0", "run 6", "run 7", "6 of "]


def test_a_sparkline_goes_over_virtual_time_from_the_least_value_to_the_greatest() -> None:
    assert sparkline("accuracy", [(0, 0.0), (10, 0.5), (20, 1.0)], 4, LEVELS) == "▁▅▅█"
    assert sparkline("accuracy", [(0, 0.3)], 3, LEVELS) == "▁▁▁"
    assert sparkline("accuracy", [], 3, LEVELS) == ""
    assert sparkline("accuracy", [(0, 0.0), (10, float("nan")), (20, 1.0)], 2, LEVELS) == "▁█"


def test_a_sparkline_of_what_falls_is_logarithmic() -> None:
    falling = [(float(time_s), 10.0**-time_s) for time_s in range(8)]
    assert sparkline("gap", falling, 8, LEVELS) == "█▇▆▅▄▃▂▁"
