"""Each report says in one line where its seconds of computing come from."""

from __future__ import annotations

from edgesim.reports._seconds import sentence


def test_what_is_surest_comes_first_with_its_visits() -> None:
    counts = {"estimated": 8, "fitted": 2, "timed": 12}
    assert sentence(counts) == (
        "Seconds of computing are from timed steps (12 visits), a fit to timed steps (2 visits)"
        " and an estimated rate (8 visits)."
    )


def test_a_plan_counts_devices() -> None:
    assert sentence({"datasheet": 3}, "devices") == (
        "Seconds of computing are from a datasheet's rate (3 devices)."
    )


def test_where_no_visit_computed_there_is_nothing_to_tell() -> None:
    assert sentence({}) == "Seconds of computing: no visit came so far."
