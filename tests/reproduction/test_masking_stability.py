"""Stability: models of which one was trained with another sample (arXiv 2511.06132, Theorem 5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesim.document import open_document
from edgesim.parts import prepare
from edgesim.registry import load_target
from edgesim.scenario import resolve
from tests.commands import edgesim

SCENARIO = "papers/masking/stability"
DOCUMENT = open_document(SCENARIO)
apart = load_target("apart:apart", DOCUMENT.path.parent)


def trained(folder: Path, variant: str, *overrides: str) -> Path:
    """The folder of the runs, with those of this pair."""
    for name in (variant, f"{variant}-replaced"):
        sets = [part for text in overrides for part in ("--set", text)]
        done = edgesim(folder, "run", SCENARIO, "--variant", name, "--quiet", *sets)
        assert done.returncode == 0, done.stderr
    return folder / "runs" / "masking-stability"


def test_one_image_of_one_device_is_replaced_by_another_of_its_class() -> None:
    plain, replaced = (prepare(resolve(DOCUMENT, variant)) for variant in ("full", "full-replaced"))
    changed = (plain.data.train_x != replaced.data.train_x).any(axis=(1, 2, 3))
    assert np.flatnonzero(changed).tolist() == [0]
    assert (plain.data.train_y == replaced.data.train_y).all()
    shards = zip(plain.shards, replaced.shards, strict=True)
    assert all((one == other).all() for one, other in shards)


def test_a_replaced_sample_drives_models_apart_and_nothing_else_does(tmp_path: Path) -> None:
    short, variant = "stop.rounds=3", "scaled-random-8"
    distance, share = apart(trained(tmp_path, variant, short), variant, 1)
    assert distance > 0
    assert 0 < share < 1
    both = tmp_path / "replaced in both"
    both.mkdir()
    assert apart(trained(both, variant, short, "dataset.replaced=7"), variant, 1) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "rolling"])
def test_thinner_masks_without_a_scaler_keep_the_models_closer_together(method: str, tmp_path: Path) -> None:
    variants = ("full", f"{method}-2", f"{method}-8")
    distances = [apart(trained(tmp_path, variant), variant, 1)[0] for variant in variants]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0
