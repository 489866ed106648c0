"""Every experiment under scenarios/papers and scenarios/theory runs in all its variants, cut short.

What they find is written in scenarios/papers/README.md; here is only tried that they can be asked. Images
give way to the small digits, which need no download, and networks of a size for GPUs, or too deep for
digits, to a perceptron: data sets and models have tests of their own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgesim.document import open_document, shipped_names
from tests.commands import edgesim

SCENARIOS = Path(__file__).parents[1] / "scenarios"
PAPERS = SCENARIOS / "papers" / "README.md"
PRESENCE = SCENARIOS / "bring-your-own-traces" / "presence.csv"
SMALL = ("digits", "quadratic")
ROUNDS = 2

NAMES = [name for name in shipped_names() if name.startswith(("papers/", "theory/"))]


def shortened(name: str, given: dict[str, Any]) -> list[str]:
    """What `--set` is told, so that a file that takes minutes, or a GPU, takes seconds."""
    changes: dict[str, object] = {"stop.rounds": ROUNDS, "evaluate.every": f"{ROUNDS} rounds"}
    dataset = given["dataset"] if isinstance(given["dataset"], dict) else {"name": given["dataset"]}
    if dataset["name"] not in SMALL and ":" not in dataset["name"]:
        changes["dataset.name"] = "digits"
        if "natural" in str(dataset.get("partition")):
            changes["dataset.partition"] = "iid"
    if name.rpartition("/")[2].startswith("gpu-") or "heterofl_cnn" in str(given["model"]):
        changes["model.name"] = "mlp"
    if given.get("training", {}).get("epochs", 1) > 1:
        changes["training.epochs"] = 1
    for number, entry in enumerate(given["fleet"]):
        if "file" in entry.get("availability", {}):  # which the user brings
            changes[f"fleet[{number}].availability.file"] = PRESENCE
    return [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]


def test_there_are_some() -> None:
    assert len([name for name in NAMES if name.startswith("papers/")]) > 20
    assert len([name for name in NAMES if name.startswith("theory/")]) > 3


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_all_its_variants(name: str, tmp_path: Path) -> None:
    document = open_document(name)
    given = document.source.data
    assert isinstance(given, dict)
    done = edgesim(tmp_path, "compare", name, "--jobs", "1", "--quiet", "--json", *shortened(name, given))
    assert done.returncode == 0, done.stderr
    variants = json.loads(done.stdout)["variants"]
    assert [variant["name"] for variant in variants] == (list(document.variants) or ["main"])
    assert all(variant["bytes_up"] > 0 for variant in variants)


@pytest.mark.parametrize("name", NAMES)
def test_its_first_line_asks_a_question(name: str) -> None:
    first = open_document(name).path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_papers_names_it(name: str) -> None:
    assert f"`{name}`" in PAPERS.read_text(encoding="utf-8") or f" {name}" in PAPERS.read_text("utf-8")


def test_every_scenario_that_the_table_names_is_there() -> None:
    named = set(re.findall(r"(?<![\w/])((?:papers|theory)/[\w/-]+)", PAPERS.read_text(encoding="utf-8")))
    assert named <= set(NAMES), named - set(NAMES)
