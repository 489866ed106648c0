"""R25 on its shipped scenario: coverage of rolling masks, and that all learn (algorithms 3.4, 6.3).

Which of rolling and random masks is better is reported and not asserted.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.parts import prepare
from edgesim.scenario import resolve
from tests.commands import edgesim

SCENARIO = "papers/masking/rolling-or-random"
DOCUMENT = open_document(SCENARIO)
FIRST, INTERIOR = "fc1.weight", "fc2.weight"
BLOCKS = [2, 4]


def coverage(variant: str, *overrides: str) -> pd.DataFrame:
    """Who was trained how often, by tensor."""
    tables = execute(prepare(resolve(DOCUMENT, variant, overrides)), timing_only=True).tables
    return pd.DataFrame(tables["coverage"]).set_index("tensor")


def of_one_device(variant: str, visits: int) -> pd.DataFrame:
    alone = ("fleet[0].count=1", "coordination.clients_per_round=1", f"stop.rounds={visits}")
    return coverage(variant, *alone)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_aligned_blocks_leave_a_device_with_the_share_1_over_r_of_the_weights_between(blocks: int) -> None:
    table = of_one_device(f"aligned-{blocks}", 25 * blocks)
    assert table.covered_fraction[INTERIOR] == 1 / blocks
    assert table.covered_fraction[FIRST] == 1


@pytest.mark.parametrize("blocks", BLOCKS)
def test_an_order_for_each_layer_brings_a_device_to_all_of_them(blocks: int) -> None:
    assert of_one_device(f"rolling-{blocks}", blocks).covered_fraction[INTERIOR] <= 1 / blocks
    assert of_one_device(f"rolling-{blocks}", 25 * blocks).covered_fraction[INTERIOR] == 1


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("method", ["aligned", "rolling"])
def test_rolling_trains_every_weight_of_the_first_layer_equally_often(method: str, blocks: int) -> None:
    row = coverage(f"{method}-{blocks}").loc[FIRST]
    assert row.least_times == row.most_times == 10 * 40 / blocks


@pytest.mark.slow
def test_all_masks_learn(tmp_path: Path) -> None:
    done = edgesim(tmp_path, "compare", SCENARIO, "--seeds", "1,2,3", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    accuracy = {each["name"]: each["final_accuracy"] for each in json.loads(done.stdout)["variants"]}
    assert len(accuracy) == 14
    assert min(accuracy.values()) > 0.2  # by chance 0.1
