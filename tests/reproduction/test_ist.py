"""IST on its shipped scenario: bytes of a cycle, and R26 (Yuan et al., VLDB 2022; algorithms 3.6, 6.3)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.parts import Parts, prepare
from edgesim.scenario import resolve
from tests.commands import edgesim
from tests.originals import ORIGINALS

EPOCHS = "papers/ist/equal-epochs"
FEATURES, LABELS = 64, 10  # of digits, which need no files


def parts_of(variant: str, hidden: tuple[int, ...], *overrides: str) -> Parts:
    sets = ("dataset.name=digits", f"model.hidden={list(hidden)}", "stop.rounds=3", *overrides)
    return prepare(resolve(open_document(EPOCHS), variant, sets))


def bytes_of_cycles(parts: Parts) -> set[tuple[int, int]]:
    """Bytes down and up of one worker in one cycle, over all of a run."""
    visits = execute(parts, timing_only=True).tables["dispatches"]
    return set(zip(visits["bytes_down"], visits["bytes_up"], strict=True))


@pytest.mark.parametrize("workers", [2, 4, 8])
@pytest.mark.parametrize("hidden", [(1024,), (256, 256), (64, 64, 64)])
def test_a_worker_moves_its_part_of_the_model_down_and_up_in_each_cycle(
    workers: int, hidden: tuple[int, ...]
) -> None:
    fleet = f"fleet=[{{profile: jetson-agx-orin, count: {workers}}}]"
    parts = parts_of("ist", hidden, fleet, f"coordination.clients_per_round={workers}")
    units, layers = hidden[0] // workers, len(hidden)
    values = FEATURES * units + (layers - 1) * units**2 + units * LABELS + 2 * units * layers
    assert bytes_of_cycles(parts) == {(4 * values, 4 * values)}


def test_data_parallel_training_moves_the_whole_model_in_every_iteration() -> None:
    values = FEATURES * 1024 + 1024 * LABELS + 2 * 1024
    assert bytes_of_cycles(parts_of("data-parallel", (1024,))) == {(4 * values, 4 * values)}


def test_all_variants_train_on_as_many_samples() -> None:
    experiments = [resolve(open_document(EPOCHS), name) for name in ("data-parallel", "local-sgd", "ist")]
    scenarios = [experiment.scenario for experiment in experiments]
    assert len({(s.stop.rounds or 0) * (s.training.steps or 0) for s in scenarios}) == 1
    assert len({s.training.batch_size for s in scenarios}) == 1


@pytest.mark.slow
@pytest.mark.skipif(not (ORIGINALS / "mnist").is_dir(), reason=f"no MNIST in {ORIGINALS}")
def test_two_subnets_reach_within_two_points_of_training_the_whole_model(tmp_path: Path) -> None:
    done = edgesim(
        tmp_path, "compare", EPOCHS, "--seeds", "1,2,3", "--json", "--quiet", "--data-root", str(ORIGINALS)
    )
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each for each in json.loads(done.stdout)["variants"]}
    accuracy = {name: each["final_accuracy"] for name, each in found.items()}
    assert accuracy["ist"] > accuracy["data-parallel"] - 0.02
    assert math.isclose(found["data-parallel"]["bytes_up"], 40 * found["ist"]["bytes_up"], rel_tol=1e-9)
