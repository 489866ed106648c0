"""FedGMR's toy, trained: R20 and R21 of algorithms 6.3, by the shipped scenarios over seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from edgesim.results import run
from tests.commands import edgesim

pytestmark = pytest.mark.slow

Accuracy = dict[str, float]
"""Accuracy of each variant when the time is up, the median over seeds."""


def compare(folder: Path, question: str, seeds: str) -> Accuracy:
    scenario = f"papers/fedgmr/{question}"
    done = edgesim(folder, "compare", scenario, "--seeds", seeds, "--jobs", "1", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["final_accuracy"] for each in json.loads(done.stdout)["variants"]}


# ----------------------------------------------------------------------------------------------------- R20


@pytest.fixture(scope="module")
def growth(tmp_path_factory: pytest.TempPathFactory) -> Accuracy:
    return compare(tmp_path_factory.mktemp("growth"), "growth", "1,2,3,4,5")


@pytest.mark.xfail(
    strict=True, reason="five percent of these weights learn digits as well: 0.83, and 0.79 with growth"
)
def test_submodels_that_grow_learn_more_than_such_that_stay_small(growth: Accuracy) -> None:
    assert growth["gmr"] >= growth["without-growth"] + 0.08


def test_growth_learns_more_than_synchronous_rounds_of_whole_models(growth: Accuracy) -> None:
    assert growth["gmr"] > growth["fedavg"]


def test_weights_are_best_averaged_over_those_who_hold_them_and_worst_with_zeros(tmp_path: Path) -> None:
    accuracy = compare(tmp_path, "aggregators", "1,2,3,4,5")
    assert accuracy["ma"] >= accuracy["ga"] >= accuracy["fa"] - 0.02


@pytest.mark.xfail(
    strict=True, reason="waiting costs nothing here: 0.80 after 203 rounds, and 0.79 after 466 without"
)
def test_growth_learns_more_where_nobody_waits_for_the_slowest(tmp_path: Path) -> None:
    accuracy = compare(tmp_path, "synchronous", "1,2,3,4,5")
    assert accuracy["semi-asynchronous"] > accuracy["synchronous"]


# ----------------------------------------------------------------------------------------------------- R21


DENSITIES = ("0.05", "0.2", "1")


def curve(folder: Path, density: str) -> pd.Series:
    """Accuracy at each time of evaluation, the median over seeds."""
    runs = [run.read(path).tables["evaluations"] for path in folder.glob(f"runs/*/density-{density}-seed*")]
    return pd.concat([rows.set_index("time_s")["accuracy"] for rows in runs], axis=1).median(axis=1)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A curve for each density, over the same times."""
    folder = tmp_path_factory.mktemp("stages")
    compare(folder, "density-by-stage", "1,2,3")
    return pd.DataFrame({density: curve(folder, density) for density in DENSITIES})


def test_the_smallest_density_is_best_early(stages: pd.DataFrame) -> None:
    assert stages.loc[200.0:1000.0].mean().idxmax() == "0.05"


def test_the_whole_model_is_best_late_so_that_the_curves_cross(stages: pd.DataFrame) -> None:
    assert stages.loc[12000.0:].mean().idxmax() == "1"
