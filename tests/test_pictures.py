"""The pictures of the README are those that their command writes, and small."""

from __future__ import annotations

from pathlib import Path

import edgesim
from tests import pictures


def test_every_picture_is_there_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in pictures.FOLDER.iterdir()}
    assert set(sizes) == {*pictures.PICTURES, pictures.REPORT}
    assert max(sizes.values()) <= pictures.LARGEST_BYTES


def test_the_same_runs_give_the_same_pictures(tmp_path: Path) -> None:
    short = {"stop.rounds": 2, "training.epochs": 1, "model": "mlp"}
    runs = edgesim.compare("quickstart", seeds=(1,), overrides=short).runs
    for folder in ("once", "again"):
        pictures.paint(runs, tmp_path / folder)
    for file in pictures.PICTURES:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
