"""The contract of figures: what every file in the folder keeps, whatever runs it is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pandas as pd
import plotly.graph_objects as go
import pytest

from edgesim.reports import figures
from edgesim.results.run import RunResult
from tests.reports.figured import learning, run, stale, theory
from tests.results import golden_run

UNITLESS = {
    "closed_form", "column", "cut_off", "device", "devices", "dispatch", "first_device", "high", "label",
    "layer", "low", "metric", "outcome", "part", "profile", "rank", "samples", "seed", "share", "shown",
    "split", "staleness", "submodel", "target", "updates", "value", "variant", "version", "visits",
}  # fmt: skip
"""Columns of names, counts and shares; all others end in a unit."""

UNITS = ("_s",)

KINDS: dict[str, tuple[Sequence[RunResult], set[str]]] = {
    "one run": (
        [run()],
        {"learning_curve", "device_timeline", "phases", "data_split"},
    ),
    "variants over seeds": (
        [learning(name, seed, [0, seed, 9], [0.1, 0.5, 0.8]) for name in ("a<b>", "b") for seed in (1, 2)],
        {"learning_curve", "device_timeline", "phases", "data_split"},
    ),
    "stale sub-models": (
        [run(), stale()],
        {"learning_curve", "device_timeline", "phases", "staleness", "density", "coverage", "data_split"},
    ),
    "timing only": (
        [golden_run.timing_only()],
        {"device_timeline", "phases", "data_split"},
    ),
    "theory": (
        [theory(name, seed, [1.0, 0.1, 0.0]) for name in "ab" for seed in (1, 2)],
        {"gap", "device_timeline", "phases"},
    ),
    "a run of before": (
        [run(devices=None, participation=None, divergence=None, data_split=None)],
        {"learning_curve", "device_timeline", "phases"},
    ),
}  # fmt: skip

DRAWN = [(kind, name) for kind, (_, applicable) in KINDS.items() for name in sorted(applicable)]


SCREEN = [(next(kind for kind, drawn in DRAWN if drawn == name), name) for name in figures.names()]
"""Each figure once: of the first kind of runs that it shows."""


@cache
def frame_of(kind: str, name: str) -> pd.DataFrame | None:
    return figures.figure(name).data(KINDS[kind][0])


@cache
def drawn(kind: str, name: str) -> go.Figure:
    frame = frame_of(kind, name)
    assert frame is not None
    return figures.figure(name).plotly(frame, "light")


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_nothing_exactly_where_runs_have_nothing_of_the_kind(kind: str) -> None:
    found = [name for name in figures.names() if frame_of(kind, name) is not None]
    assert set(found) == KINDS[kind][1]


def test_those_that_apply_come_in_the_order_of_a_report() -> None:
    order = [figures.figure(name).order for name in figures.names()]
    assert order == sorted(order)
    assert figures.applicable(KINDS["timing only"][0]) == ["device_timeline", "phases", "data_split"]


@pytest.mark.parametrize("name", figures.names())
def test_every_figure_says_what_it_is_and_what_to_look_for(name: str) -> None:
    figure = figures.figure(name)
    assert figure.title
    assert not figure.title.endswith(".")
    assert figure.caption.endswith(".")


@pytest.mark.parametrize(("kind", "name"), DRAWN)
def test_columns_wear_their_units(kind: str, name: str) -> None:
    frame = frame_of(kind, name)
    assert frame is not None
    assert len(frame)
    assert [column for column in frame if column not in UNITLESS and not column.endswith(UNITS)] == []


@pytest.mark.parametrize(("kind", "name"), DRAWN)
def test_what_is_drawn_for_a_screen_is_strict_json_and_small(kind: str, name: str) -> None:
    written = drawn(kind, name).to_json()
    json.loads(written, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert len(written) < 100_000


@pytest.mark.parametrize("name", figures.names())
def test_names_are_shown_and_never_read_as_html(name: str) -> None:
    frame = frame_of("variants over seeds", name)
    if frame is not None:
        assert "a<b>" not in str(drawn("variants over seeds", name).to_plotly_json())


@pytest.mark.parametrize(("kind", "name"), SCREEN)
def test_the_looks_differ_in_their_template_alone(kind: str, name: str) -> None:
    light = drawn(kind, name).to_plotly_json()
    dark = figures.draw(name, KINDS[kind][0], "dark").to_plotly_json()
    assert light["layout"].pop("template") != dark["layout"].pop("template")
    assert str(light) == str(dark)


@pytest.mark.parametrize(("kind", "name"), SCREEN)
def test_every_figure_is_painted_for_a_column_or_a_page(kind: str, name: str) -> None:
    sheet = figures.paint(name, KINDS[kind][0])
    sheet.draw_without_rendering()
    assert sheet.get_figwidth() in (3.5, 7.16)
    assert sheet.axes


@pytest.mark.parametrize("name", figures.names())
def test_what_is_not_there_cannot_be_drawn(name: str) -> None:
    empty = run(evaluations={"accuracy": [None] * 3, "loss": [None] * 3}, data_split=None)
    nothing = replace(empty, tables={**empty.tables, "dispatches": empty.tables["dispatches"].iloc[:0]})
    with pytest.raises(LookupError, match=f'nothing that figure "{name}" could show'):
        figures.draw(name, [nothing])
