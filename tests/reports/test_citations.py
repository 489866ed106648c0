"""`edgesim cite`: the papers behind what a scenario or a run uses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import edgesim

SCENARIO = """\
# Which papers are behind it?
name: cited
model: {name: mlp, hidden: [4]}
dataset: {name: digits, partition: {name: shards}}
fleet:
  - {profile: pixel-6, count: 4, capacity: 0.5}
coordination: {name: synchronous, clients_per_round: 2}
training: {proximal: 0.1, optimizer: adam, learning_rate: 0.01}
stop: {rounds: 1}
variants:
  narrow: {submodel: heterofl}
  buffered:
    coordination: {name: buffered, buffer: 2, concurrency: 2}
    aggregation: {name: delta, staleness: poly, server_optimizer: {name: adam, learning_rate: 0.01}}
  own: {submodel: "citing_turns:TakingTurns"}
"""
OWN = """\
from edgesim.papers import Paper
from edgesim.registry import component
from edgesim.submodels.full import Full


@component
class TakingTurns(Full):
    papers = (Paper("doe2026turns", ("Doe, Jane",), "Turns & Queues", 2026, "Workshop"),)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a scenario and a component of its own; one for all, as a process knows a module once."""
    found = tmp_path_factory.mktemp("cited")
    (found / "cited.yaml").write_text(SCENARIO)
    (found / "citing_turns.py").write_text(OWN)
    return found


def users(folder: Path, *arguments: str) -> dict[str, list[str]]:
    """What uses each paper, by its key."""
    done = edgesim(folder, "cite", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {paper["key"]: paper["used_by"] for paper in json.loads(done.stdout)}


def test_a_scenario_is_cited_with_all_its_variants(folder: Path) -> None:
    found = users(folder, "cited.yaml")
    assert found["diao2021heterofl"] == ["submodel heterofl"]
    assert found["nguyen2022fedbuff"] == ["aggregation delta", "coordination buffered"]
    assert "model mlp" in found["mcmahan2017fedavg"]


def test_a_variant_is_cited_alone(folder: Path) -> None:
    found = users(folder, "cited.yaml", "--variant", "narrow")
    assert "diao2021heterofl" in found
    assert "nguyen2022fedbuff" not in found


def test_what_stands_within_a_choice_is_cited_too(folder: Path) -> None:
    found = users(folder, "cited.yaml", "--variant", "buffered")
    assert found["xie2019fedasync"] == ["aggregation.staleness poly"]
    assert found["reddi2021adaptive"] == ["aggregation.server_optimizer adam"]
    assert "dataset.partition shards" in found["mcmahan2017fedavg"]


def test_local_training_is_cited_where_it_is_not_plain(folder: Path) -> None:
    found = users(folder, "cited.yaml", "--variant", "narrow")
    assert found["li2020fedprox"] == ["training.proximal"]
    assert found["kingma2015adam"] == ["training.optimizer adam"]


def test_a_users_own_component_names_its_own_paper(folder: Path) -> None:
    assert users(folder, "cited.yaml")["doe2026turns"] == ["submodel citing_turns:TakingTurns"]


def test_papers_are_listed_by_author_with_what_uses_them_below(folder: Path) -> None:
    done = edgesim(folder, "cite", "cited.yaml", "--variant", "narrow")
    lines = done.stdout.splitlines()
    assert lines[0::2] == sorted(lines[0::2])
    reference = lines.index(
        "Diao, Ding, Tarokh: HeteroFL: Computation and Communication Efficient Federated Learning for "
        "Heterogeneous Clients. ICLR 2021, arXiv 2010.01264"
    )
    assert lines[reference + 1] == "    submodel heterofl"


def test_bibtex_can_be_pasted(folder: Path) -> None:
    done = edgesim(folder, "cite", "cited.yaml", "--variant", "own", "--bibtex")
    assert (
        "@inproceedings{doe2026turns,\n"
        "  author = {Doe, Jane},\n"
        "  title = {{Turns \\& Queues}},\n"
        "  year = {2026},\n"
        "  booktitle = {Workshop},\n"
        "}\n"
    ) in done.stdout
    assert done.stdout.count("\n@") == done.stdout.count("\n}\n") - 1


def test_a_run_is_cited_as_its_scenario(folder: Path) -> None:
    done = edgesim(folder, "run", "cited.yaml", "--variant", "narrow", "--timing-only", "--quiet")
    assert done.returncode == 0, done.stderr
    assert users(folder, "runs/cited/narrow-seed1") == users(folder, "cited.yaml", "--variant", "narrow")


def test_a_run_is_cited_wherever_it_lies_and_whatever_became_of_the_modules_that_it_used(
    folder: Path, tmp_path: Path
) -> None:
    done = edgesim(folder, "run", "cited.yaml", "--variant", "own", "--timing-only", "--quiet")
    assert done.returncode == 0, done.stderr
    shutil.move(folder / "runs/cited/own-seed1", tmp_path / "moved")
    scenario = (tmp_path / "moved" / "scenario.yaml").read_text()
    (tmp_path / "moved" / "scenario.yaml").write_text(scenario.replace("citing_turns", "lost_turns"))
    assert users(tmp_path, "moved") == users(folder, "cited.yaml", "--variant", "own")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing-like-it",), 'no scenario "nothing-like-it"'),
        (("cited.yaml", "--variant", "narow"), 'no variant "narow"; did you mean "narrow"?'),
        (("cited.yaml", "--bibtex", "--json"), "give --bibtex or --json, not both"),
        (("broken",), "manifest.json: is missing or broken"),
    ],
)
def test_what_cannot_be_cited_is_said(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "manifest.json").write_text("{")
    done = edgesim(folder, "cite", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout
