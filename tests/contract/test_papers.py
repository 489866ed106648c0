"""What every cited paper must have, and which components must cite one."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgesim import papers, registry
from edgesim.aggregation._server_optimizer import ServerAdam
from edgesim.aggregation._staleness import Hinge, Poly
from edgesim.catalogue import ROOMS
from edgesim.datasets._by_class import Dirichlet, LabelsPerClient, Shards
from edgesim.papers import Paper
from edgesim.reports.citations import CHOICES

COMPONENTS = [(room, name) for room in ROOMS for name in registry.names(room)]
INNER: list[Any] = [ServerAdam, Hinge, Poly, Dirichlet, LabelsPerClient, Shards]
ARXIV = re.compile(r"[0-9]{4}\.[0-9]{4,5}")
CITES = re.compile(r"et al\.|[A-Z][a-z]+,? (?:and [A-Z][a-z]+ )?(?:19|20)[0-9]{2}[,:;)]")


def cited() -> Iterator[Paper]:
    """Every paper that a component names, and those that belong to local training."""
    for component in (*(registry.builtin(room, name) for room, name in COMPONENTS), *INNER):
        yield from component.papers
    yield from (papers.FEDPROX, papers.ADAM)


def documentation(component: type[Any]) -> str:
    """What a file says of its component, and the component of itself."""
    return f"{importlib.import_module(component.__module__).__doc__}\n{inspect.getdoc(component)}"


PAPERS = sorted(set(cited()), key=lambda paper: paper.key)


@pytest.mark.parametrize("paper", PAPERS, ids=[paper.key for paper in PAPERS])
def test_a_paper_can_be_found(paper: Paper) -> None:
    assert paper.title
    assert paper.venue
    assert all(re.fullmatch(r"[^,;]+, [^,;]+", author) for author in paper.authors)
    family = paper.authors[0].partition(",")[0].lower().split()[-1].replace("á", "a")
    assert re.fullmatch(rf"{family}{paper.year}[a-z0-9]+", paper.key)
    assert not paper.arxiv or ARXIV.fullmatch(paper.arxiv)
    assert not paper.doi or re.fullmatch(r"10\.[0-9]{4,5}/\S+", paper.doi)
    assert not (paper.url and (paper.arxiv or paper.doi))


def test_no_two_papers_have_the_same_key_or_identifier() -> None:
    for name in ("key", "title", "arxiv", "doi"):
        values = [value for paper in PAPERS if (value := getattr(paper, name))]
        assert len(values) == len(set(values))


def test_every_registered_paper_is_cited() -> None:
    registered = {value for value in vars(papers).values() if isinstance(value, Paper)}
    assert registered <= set(PAPERS)


@pytest.mark.parametrize(("room", "name"), COMPONENTS)
def test_a_component_that_speaks_of_a_paper_cites_it(room: str, name: str) -> None:
    component = registry.builtin(room, name)
    text = documentation(component)
    assert set(ARXIV.findall(text.splitlines()[0])) <= {paper.arxiv for paper in component.papers}
    assert component.papers or not (CITES.search(text) or ARXIV.search(text))


def test_every_room_is_a_choice_that_may_be_cited() -> None:
    assert set(ROOMS.values()) == set(CHOICES)
