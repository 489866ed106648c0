"""FedGMR's toy, trained: what algorithms 6.3 has R20 and R21 show, by the shipped scenarios over five seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from edgesim.results import run
from tests.commands import edgesim

pytestmark = pytest.mark.slow

Accuracy = dict[str, float]
"""Final accuracy of each variant, the median over seeds."""


def compare(folder: Path, scenario: str, seeds: str) -> Accuracy:
    done = edgesim(folder, "compare", f"papers/fedgmr/{scenario}", "--seeds", seeds, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["final_accuracy"] for each in json.loads(done.stdout)["variants"]}


# ------------------------------------------------------------------------------------------------ R20


@pytest.fixture(scope="module")
def growth(tmp_path_factory: pytest.TempPathFactory) -> Accuracy:
    return compare(tmp_path_factory.mktemp("growth"), "growth", "1,2,3,4,5")


def test_submodels_that_grow_learn_more_than_such_that_stay_small(growth: Accuracy) -> None:
    assert growth["gmr"] >= growth["without-growth"] + 0.08


def test_growth_learns_more_than_synchronous_rounds_of_whole_models(growth: Accuracy) -> None:
    assert growth["gmr"] > growth["fedavg"]


def test_averaging_those_who_hold_a_weight_is_best_and_zeros_for_the_others_worst(tmp_path: Path) -> None:
    accuracy = compare(tmp_path, "aggregators", "1,2,3,4,5")
    assert accuracy["ma"] >= accuracy["ga"] >= accuracy["fa"] - 0.02


def test_growth_learns_more_where_nobody_waits_for_the_slowest(tmp_path: Path) -> None:
    accuracy = compare(tmp_path, "synchronous", "1,2,3,4,5")
    assert accuracy["semi-asynchronous"] > accuracy["synchronous"]


# ------------------------------------------------------------------------------------------------ R21


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Median accuracy over seeds by time, a column for each density."""
    folder = tmp_path_factory.mktemp("stages")
    compare(folder, "density-by-stage", "1,2,3")
    curves = {
        density: pd.concat([accuracy_by_time(path) for path in folder.glob(f"runs/*/density-{density}-*")], axis=1)
        for density in ("0.05", "0.2", "1")
    }
    return pd.DataFrame({density: curve.median(axis=1) for density, curve in curves.items()})


def accuracy_by_time(path: Path) -> pd.Series:
    rows = run.read(path).tables["evaluations"]
    return rows[rows["metric"] == "accuracy"].set_index("time_s")["value"]
