"""From what a board's runner wrote to the board's profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim import yaml_source
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.errors import InputError
from edgesim.profiling.boards import predictions, profile_of, write
from edgesim.profiling.runner.timings import Timings
from tests.profiling.boards_of import BOTH, HALF, WHOLE, timing, timings

SMALL, LARGE = ("linear", 10**6, 10**5, 3), ("linear", 4 * 10**6, 10**5, 3)
LINES = [timing(HALF, 1e-3, SMALL), timing(WHOLE, 2.5e-3, LARGE)]  # 0.5 ms, and 0.5 ms per MFLOP


def made(found: Timings, like: DeviceProfile | None = None) -> DeviceProfile:
    return profile_of(found, title=None, kind="board", network="wifi", like=like)


def test_the_table_holds_what_was_timed(tmp_path: Path) -> None:
    profile = made(timings(tmp_path / "t.jsonl", LINES))
    assert profile.measured is not None
    first, second = profile.measured.table
    assert (first.shape, first.label, first.batch) == (HALF, "label aaaa", 8)
    assert (first.seconds, first.low, first.high) == (1e-3, 0.99 * 1e-3, 1.02 * 1e-3)
    assert (second.seconds, second.memory) == (2.5e-3, 5e7)


def test_the_device_is_what_its_system_tells(tmp_path: Path) -> None:
    profile = made(timings(tmp_path / "t.jsonl", LINES))
    assert (profile.title, profile.kind, profile.network) == ("Pea Pod 4", "board", "wifi")
    assert profile.cores is not None
    assert (profile.cores.value, profile.memory.value) == (4, 4e9)
    assert (profile.memory.basis, profile.compute.basis) == ("measured", "measured")
    assert profile.power.active is None  # unknown, not 0


def test_rate_and_overhead_are_there_for_analytic_seconds(tmp_path: Path) -> None:
    compute = made(timings(tmp_path / "t.jsonl", LINES)).compute
    assert compute.rate.value == pytest.approx(2e9)
    assert compute.step_overhead.value == pytest.approx(5e-4)


def test_the_source_says_what_was_timed_when_on_what_with_which_versions(tmp_path: Path) -> None:
    profile = made(timings(tmp_path / "t.jsonl", LINES))
    assert profile.measured is not None
    for part in ("2 training steps of the scenario tiny", "edgesim 0.1, torch 2.9", "aarch64", "4 threads"):
        assert part in profile.measured.source
    assert profile.measured.source.endswith("onnxruntime 1.20.1 at 2026-01-02T03:04:05+00:00")


def test_a_mixture_is_the_mean_of_its_levels(tmp_path: Path) -> None:
    mixed = {"shape": BOTH, "labels": ["fjord"], "batch": 8, "runs": [[0.25, HALF], [0.75, WHOLE]]}
    unknown = {**mixed, "shape": "d" * 16, "runs": [[1.0, "e" * 16]]}
    found = timings(tmp_path / "t.jsonl", LINES, mixed=[mixed, unknown])
    profile = made(found)
    assert profile.measured is not None
    (row,) = profile.measured.table[2:]  # of the other one nothing was timed
    assert (row.label, row.memory) == ("fjord, mean over its levels", None)
    assert row.seconds == pytest.approx(0.25 * 1e-3 + 0.75 * 2.5e-3)
    said = predictions(found, profile)
    for half, whole, both in zip(said[HALF], said[WHOLE], said[BOTH], strict=True):
        assert both == pytest.approx(0.25 * half + 0.75 * whole)


def test_inference_and_failures_are_no_training_steps(tmp_path: Path) -> None:
    other = [
        timing("d" * 16, 1.0, SMALL, graph="inference"),
        {"kind": "failure", "shape": "e" * 16, "graph": "step", "message": "it hung"},
    ]
    profile = made(timings(tmp_path / "t.jsonl", [*LINES, *other]))
    assert profile.measured is not None
    assert [step.shape for step in profile.measured.table] == [HALF, WHOLE]


def test_power_is_joules_over_seconds_where_the_runner_could_read_it(tmp_path: Path) -> None:
    lines = [
        timing(HALF, 1e-3, SMALL, energy_j_per_run=4e-3),
        timing(WHOLE, 2e-3, LARGE, energy_j_per_run=1e-2),
    ]
    active = made(timings(tmp_path / "t.jsonl", lines)).power.active
    assert active is not None
    assert (active.value, active.low, active.high) == pytest.approx((4.5, 4, 5))


def test_an_emulated_device_is_marked_and_never_a_measurement_of_it(tmp_path: Path) -> None:
    like = Catalogue(environment={}).load("raspberry-pi-4")
    profile = made(timings(tmp_path / "t.jsonl", LINES), like)
    assert profile.measured is not None
    assert profile.measured.emulated
    assert profile.title == f"{like.title}, emulated on Pea Pod 4"
    assert (profile.compute.rate.basis, profile.compute.step_overhead.basis) == ("estimated", "estimated")
    assert (profile.memory, profile.power, profile.network) == (like.memory, like.power, like.network)


def test_what_is_written_is_read_the_same_again(tmp_path: Path) -> None:
    lines = [timing(HALF, 1 / 3, SMALL, energy_j_per_run=0.1), timing(WHOLE, 2 / 3, LARGE, peak_bytes=None)]
    profile = made(timings(tmp_path / "t.jsonl", lines))
    write(profile, tmp_path / "made" / "pod.yaml")
    assert yaml_source.validate(yaml_source.read(tmp_path / "made" / "pod.yaml"), DeviceProfile) == profile


@pytest.mark.parametrize(
    ("lines", "host", "message"),
    [
        ([], {}, "no training step was timed"),
        ([{key: LINES[0][key] for key in LINES[0] if key != "operators"}], {}, "lacks operators"),
        (LINES, {"memory_bytes": None}, "does not tell its memory"),
        ([timing("short", 1.0, SMALL)], {}, r"measured\.table\[0\]\.shape: "),
    ],
)
def test_timings_that_tell_too_little_are_refused(
    tmp_path: Path, lines: list[dict[str, object]], host: dict[str, object], message: str
) -> None:
    found = timings(tmp_path / "t.jsonl", lines, **host)
    with pytest.raises(InputError, match=message):
        made(found)
