"""Timelines are what they were, to the last digit; `python -m tests.golden` rewrites them."""

from __future__ import annotations

import pytest

from tests.golden.timelines import FOLDER, TIMELINES, read, rows


@pytest.mark.parametrize("name", TIMELINES)
def test_a_timeline_is_what_it_was(name: str) -> None:
    assert rows(TIMELINES[name]()) == read(name)


def test_every_golden_file_has_its_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(TIMELINES)
