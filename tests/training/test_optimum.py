"""What is measured where the optimum is known, and what a run can be told to do with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.commands import edgesim
from tests.scenarios import refusal, scenario
from tests.theory.ist import problem, rate, sized
from tests.theory.quadratics import QUADRATIC, run

EACH = "evaluate.every=1 round"
DESCENT = (*sized(3, 4, rounds=20), "submodel.sketch=identity", rate(0.3))


def test_gap_distance_and_coordinates_are_those_of_each_evaluated_version() -> None:
    found = run(*DESCENT, "evaluate.every=5 rounds")
    table = found.outcome.tables["evaluations"]
    assert table["version"] == [0, 5, 10, 15, 20]
    assert table["gap"] == pytest.approx(found.gap[::5])
    assert table["distance"] == pytest.approx(found.distance[::5])
    for number, coordinate in enumerate(found.x.T):
        assert table[f"x{number}"] == pytest.approx(coordinate[::5])
    assert "x4" not in table
    assert set(table["accuracy"]) == {None}
    optimum = found.problem.optimum
    least = found.problem.square(optimum, found.problem.curvature) / 2 - found.problem.offset @ optimum
    assert np.array(table["loss"]) - table["gap"] == pytest.approx(np.full(5, least))


def test_no_more_than_sixty_four_coordinates_are_shown() -> None:
    table = run(*sized(2, 70, rounds=1)).outcome.tables["evaluations"]
    assert "x63" in table
    assert "x64" not in table


@pytest.mark.parametrize("metric", ["gap", "distance"])
def test_a_run_ends_with_the_first_version_as_near_as_its_target(metric: str) -> None:
    free = run(*DESCENT, EACH)
    reached = free.outcome.tables["evaluations"][metric]
    goal = (reached[6] + reached[7]) / 2
    found = run(*DESCENT, EACH, f"stop.target={{{metric}: {goal!r}}}")
    assert found.outcome.reason == "target"
    assert len(found.x) == 8


@pytest.mark.parametrize("metric", ["gap", "distance"])
def test_nobody_is_asked_to_come_nearer_than_the_optimum(metric: str) -> None:
    (line,) = refusal(QUADRATIC, sets=[f"stop.target={{{metric}: 0}}"])
    assert f"{metric} must be more than 0, got 0" in line


def test_an_inverse_schedule_falls_like_one_over_the_versions() -> None:
    training = scenario(QUADRATIC, sets=["training.schedule={name: inverse, versions: 20}"]).training
    factors = [training.schedule.factor(version) for version in (0, 20, 60, 180)]
    assert factors == pytest.approx([1, 1 / 2, 1 / 4, 1 / 10])


def test_visits_take_the_step_of_the_version_that_they_start_from() -> None:
    found = run(*DESCENT, "training.schedule={name: inverse, versions: 2}")
    steps = 0.3 * 2 / (2 + np.arange(20))
    expected = found.x[:-1] - steps[:, None] * problem(*DESCENT).gradient(found.x[:-1])
    assert found.x[1:] == pytest.approx(expected)


def test_an_inverse_schedule_needs_to_know_after_how_many_versions() -> None:
    (line,) = refusal(QUADRATIC, sets=["training.schedule=inverse"])
    assert "training.schedule.versions: is missing" in line


def test_the_comparison_shows_final_gaps_where_there_are_no_accuracies(tmp_path: Path) -> None:
    variants = (
        "variants:\n  slow: {training: {learning_rate: 0.1}}\n  fast: {training: {learning_rate: 0.3}}\n"
    )
    (tmp_path / "s.yaml").write_text(QUADRATIC + variants)
    sets = [part for override in sized(3, rounds=4) for part in ("--set", override)]
    done = edgesim(
        tmp_path, "compare", "s.yaml", "--jobs", "1", "--set", "submodel.sketch=identity", *sets, "-q"
    )
    assert done.returncode == 0, done.stderr
    header, *rows = [
        line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("| ")
    ][:3]
    assert "final gap" in [cell.strip() for cell in header]
    assert "final accuracy" not in done.stdout
    column = [cell.strip() for cell in header].index("final gap")
    for row in rows:
        table = pd.read_parquet(
            next(tmp_path.glob(f"runs/theory/{row[0].strip()}-*")) / "evaluations.parquet"
        )
        assert row[column].strip() == f"{table['gap'].iloc[-1]:.3g}"
