"""FedPMT against FedDrop on the same ten devices (algorithms 6.3: R23 and R24), by the shipped scenarios.

Asserted is what the targets allow: on iid data how close FedPMT comes to FedAvg and FedDrop; on skewed labels
that all of them learn, as which is ahead there is for `edgesim compare` to report.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pandas as pd
import pytest

from tests.commands import edgesim

SEEDS = (1, 2, 3, 4, 5)
FINAL_ROUND = 60
GUESSED = 0.1  # the accuracy of guessing one of ten digits


@pytest.fixture(scope="module")
def iid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the scenario with iid data."""
    return compared(tmp_path_factory.mktemp("iid"), "feddrop-iid")


def compared(folder: Path, question: str) -> Path:
    """Where the runs of all variants and seeds of a scenario lie."""
    seeds = ",".join(map(str, SEEDS))
    done = edgesim(folder, "compare", f"papers/fedpmt/{question}", "--seeds", seeds, "--quiet")
    assert done.returncode == 0, done.stderr
    return folder / "runs" / f"fedpmt-{question}"


def accuracy(runs: Path, variant: str, version: int = FINAL_ROUND) -> float:
    """The median over seeds of the accuracy after so many rounds."""
    found = []
    for seed in SEEDS:
        evaluations = pd.read_parquet(runs / f"{variant}-seed{seed}" / "evaluations.parquet")
        found.append(evaluations.set_index("version")["accuracy"][version])
    return median(found)


@pytest.mark.slow
def test_on_iid_data_fedpmt_is_within_two_points_of_fedavg(iid: Path) -> None:
    assert accuracy(iid, "fedpmt") >= accuracy(iid, "fedavg") - 0.02


@pytest.mark.slow
def test_on_iid_data_fedpmt_is_no_more_than_a_point_behind_feddrop(iid: Path) -> None:
    assert accuracy(iid, "fedpmt") >= accuracy(iid, "feddrop") - 0.01


@pytest.mark.slow
def test_on_iid_data_fedpmt_is_ahead_of_feddrop_after_twenty_rounds(iid: Path) -> None:
    assert accuracy(iid, "fedpmt", 20) > accuracy(iid, "feddrop", 20)


@pytest.mark.slow
def test_on_skewed_labels_both_learn(tmp_path: Path) -> None:
    runs = compared(tmp_path, "feddrop-dirichlet")
    for variant in ("fedpmt", "feddrop"):
        assert accuracy(runs, variant) > 3 * GUESSED
