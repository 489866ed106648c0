"""What a scenario can name: as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgesim.catalogue import ROOMS, WITHIN, listed
from edgesim.errors import InputError
from edgesim.reports.names import render

BOARD = {
    "title": "A board",
    "kind": "board",
    "rate_flops": 6.4e9,
    "step_overhead_s": 0.04,
    "memory_bytes": 4e9,
    "idle_w": None,
    "active_w": 0.125,
    "network": "wifi",
    "basis": "estimated",
    "timed_steps": 0,
    "bases": {
        "rate_flops": "measured",
        "step_overhead_s": "estimated",
        "memory_bytes": "datasheet",
        "active_w": "measured",
    },
}
LINK = {
    "title": "A link",
    "downlink_bps": 117.6e6,
    "uplink_bps": 890e3,
    "latency_s": 0.2,
    "jitter": 0.5,
    "basis": "estimated",
    "bases": {"downlink_bps": "measured", "uplink_bps": "measured", "latency_s": "estimated"},
}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_device_is_a_row_of_figures_with_units_and_estimates_are_marked() -> None:
    heading, row, note = render({"devices": {"board-1": BOARD}}, 150).splitlines()[:3]
    figures = ["kind", "rate", "per step", "memory", "idle", "training", "network", "basis"]
    assert _cells(heading) == ["devices", *figures]
    known = ["6.4 GFLOP/s", "~40 ms", "4 GB", "-", "0.125 W", "wifi", "estimated"]
    assert _cells(row) == ["board-1", "A board", "board", *known]
    assert "~ estimated" in note


def test_a_narrow_terminal_has_the_figures_that_decide_and_says_where_the_others_are() -> None:
    heading, row, *_, more = render({"devices": {"board-1": BOARD}}, 80).splitlines()[:4]
    assert _cells(heading) == ["devices", "rate", "per step", "memory", "network", "basis"]
    assert _cells(row) == ["board-1", "6.4 GFLOP/s", "~40 ms", "4 GB", "wifi", "estimated"]
    assert "--json" in more


def test_a_device_whose_training_steps_were_timed_is_marked() -> None:
    shown = render({"devices": {"board-1": {**BOARD, "basis": "measured", "timed_steps": 12}}})
    assert "measured*\n" in shown
    assert "* with training steps that were timed" in shown


def test_a_network_is_a_row_of_medians() -> None:
    heading, row, note = render({"networks": {"link-1": LINK}}).splitlines()[:3]
    assert _cells(heading) == ["networks", "median down", "median up", "latency", "basis"]
    assert _cells(row) == ["link-1", "A link", "118 Mbit/s", "890 kbit/s", "~200 ms", "estimated"]
    assert "one way" in note


def test_anything_else_is_a_name_and_a_line_with_its_papers() -> None:
    papers = [
        {"authors": ["Ash, A.", "Elm, E."], "year": 2019},
        {"authors": ["Oak, O.", "Fir, F.", "Yew, Y."], "year": 2021},
    ]
    found = {"models": {"mlp": {"about": "A perceptron.", "papers": []}}}
    assert render(found) == "models\nmlp     A perceptron.\n\n"
    found["models"]["mlp"]["papers"] = papers
    assert render(found) == "models\nmlp     A perceptron (Ash and Elm 2019; Oak et al. 2021)\n\n"


def test_names_stay_whole_in_a_narrow_terminal() -> None:
    found = {"devices": {"a-board-with-a-long-name-indeed": {**BOARD, "title": "A title of many words " * 4}}}
    assert "a-board-with-a-long-name-indeed" in render(found, 40)


def test_everything_fits_into_80_columns() -> None:
    assert max(map(len, render(listed(None), 80).splitlines())) <= 80


@pytest.mark.parametrize("kind", ["devices", "populations"])
def test_every_shipped_device_and_population_fits_on_a_line(kind: str) -> None:
    found = {kind: listed("devices")[kind]}
    lines = render(found, 150).splitlines()
    names = list(found[kind])
    assert [line.split()[0] for line in lines[1 : 1 + len(names)]] == names


def test_populations_are_listed_with_devices_by_their_medians() -> None:
    found = listed("devices")
    assert set(found) == {"devices", "populations"}
    phones = found["populations"]["phones-2023"]
    assert (phones["memory_bytes"], phones["network"], phones["kind"]) == (6e9, "broadband", "phones")
    assert phones["rate_flops"] == pytest.approx(19.1e9, rel=0.01)
    assert listed("populations") == {"populations": found["populations"]}


def test_json_holds_base_units() -> None:
    found = json.loads(json.dumps(listed(None), allow_nan=False))
    board = found["devices"]["raspberry-pi-4"]
    assert (board["rate_flops"], board["memory_bytes"]) == (6.4e9, 4e9)
    assert (board["basis"], board["bases"]["rate_flops"]) == ("estimated", "measured")
    assert found["devices"]["renesas-ek-ra8d1"]["active_w"] is None
    link = found["networks"]["5g"]
    assert link["downlink_bps"] == pytest.approx(117.6e6)
    assert (link["latency_s"], link["basis"]) == (pytest.approx(0.029), "measured")
    assert "fedavg_cnn" in found["models"]


def test_json_names_the_papers_of_what_can_be_chosen() -> None:
    found = listed(None)
    assert [paper["arxiv"] for paper in found["submodels"]["fedpmt"]["papers"]] == ["2311.10002"]
    for kind in (*ROOMS, *WITHIN):
        assert all(entry["about"] for entry in found[kind].values())
    assert {"iid", "dirichlet"} <= set(found["partitions"])
    assert set(found["faults"]) == {"server_restart", "link_outage", "class_outage", "corrupted_update"}
    assert {"markov", "trace"} <= set(found["availability"])


def test_devices_of_the_search_path_are_listed_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figure = "low: 1 GB, high: 2 GB, basis: datasheet, source: a test"
    (tmp_path / "mine.yaml").write_text(
        "title: My board\nkind: board\nnetwork: 5g\n"
        f"memory: {{value: 2 GB, {figure}}}\n"
        "compute:\n"
        "  rate: {value: 2 GFLOP/s, low: 1 GFLOP/s, high: 3 GFLOP/s, basis: measured, source: a test}\n"
        "  step_overhead: {value: 2 ms, low: 1 ms, high: 3 ms, basis: measured, source: a test}\n"
    )
    monkeypatch.setenv("EDGESIM_PROFILES", str(tmp_path))
    mine = listed("devices")["devices"]["mine"]
    assert (mine["title"], mine["network"], mine["basis"]) == ("My board", "5g", "measured")
    assert (mine["idle_w"], mine["active_w"]) == (None, None)
    (tmp_path / "mine.yaml").write_text("title: My board")
    with pytest.raises(InputError, match=r"mine\.yaml:1: kind: is missing"):
        listed("devices")
