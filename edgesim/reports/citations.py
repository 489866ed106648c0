"""The papers behind what a scenario uses, to be cited with its results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from edgesim.document import open_document
from edgesim.papers import ADAM, FEDPROX, Paper
from edgesim.results.run import MANIFEST, PAPERS, read_manifest
from edgesim.scenario import Scenario, resolve, resolve_all

CHOICES = (
    "submodel",
    "aggregation",
    "coordination",
    "selection",
    "growth",
    "model",
    "dataset",
)
FEW = 3  # authors that are named one by one


@dataclass(frozen=True)
class Citation:
    """One paper with what uses it.

    Attributes:
        paper: the paper.
        used_by: the choices of the scenario that name it, as in `submodel heterofl`.
    """

    paper: Paper
    used_by: tuple[str, ...]


def cite(name: str, variant: str | None = None) -> list[Citation]:
    """The papers behind a scenario with all its variants, by their first authors.

    Args:
        name: a scenario file, the name of a shipped one, or the directory of a run.
        variant: one variant alone.

    Raises:
        InputError: there is no such scenario, variant or run, or something is wrong with it.
    """
    if (Path(name) / MANIFEST).exists():
        noted = read_manifest(Path(name)).get(PAPERS)
        if noted is not None and variant is None:  # its modules may not lie beside the run
            return [_noted(**each) for each in noted]
    document = open_document(name)
    experiments = resolve_all(document) if variant is None else [resolve(document, variant)]
    return behind(experiment.scenario for experiment in experiments)


def behind(scenarios: Iterable[Scenario]) -> list[Citation]:
    """The papers behind scenarios together, by their first authors."""
    users: dict[Paper, dict[str, None]] = {}
    for scenario in scenarios:
        for paper, user in _cited(scenario):
            users.setdefault(paper, {})[user] = None
    return [Citation(paper, tuple(users[paper])) for paper in sorted(users, key=_by_author)]


def _noted(used_by: Sequence[str], authors: Sequence[str], **paper: Any) -> Citation:
    """A citation from what `to_json` made of it."""
    return Citation(Paper(authors=tuple(authors), **paper), tuple(used_by))


def _by_author(paper: Paper) -> tuple[str, int, str]:
    return paper.authors[0], paper.year, paper.title


def _cited(scenario: Scenario) -> Iterator[tuple[Paper, str]]:
    written = json.loads(scenario.model_dump_json())
    for choice in CHOICES:
        yield from _behind(choice, getattr(scenario, choice), written[choice])
    if scenario.training.proximal:
        yield FEDPROX, "training.proximal"
    if scenario.training.optimizer == "adam":
        yield ADAM, "training.optimizer adam"


def _behind(place: str, part: Any, written: Mapping[str, Any]) -> Iterator[tuple[Paper, str]]:
    """The papers of a component and of those within it, each with its place and name in the scenario."""
    for paper in getattr(part, "papers", ()):
        yield paper, f"{place} {written['name']}"
    for field in fields(part):
        inner = getattr(part, field.name)
        if is_dataclass(inner) and "name" in written[field.name]:
            yield from _behind(f"{place}.{field.name}", inner, written[field.name])


# ----------------------------------------------------------------------------------------------------- shown


def render(citations: list[Citation]) -> str:
    """Each paper on a line of its own, and below it what uses it."""
    if not citations:
        return "nothing in this scenario names a paper"
    return "\n".join(f"{_reference(each.paper)}\n    {', '.join(each.used_by)}" for each in citations)


def _reference(paper: Paper) -> str:
    families = [author.partition(",")[0] for author in paper.authors]
    named = ", ".join(families) if len(families) <= FEW else f"{families[0]} et al."
    arxiv = f"arXiv {paper.arxiv}" if paper.arxiv else ""
    doi = f"doi {paper.doi}" if paper.doi else ""
    found = [f"{paper.venue} {paper.year}", arxiv, doi, paper.url]
    return f"{named}: {paper.title}. {', '.join(part for part in found if part)}"


def to_json(citations: list[Citation]) -> list[dict[str, Any]]:
    """The citations as JSON has them; an identifier that is not known is empty."""
    return [{**asdict(each.paper), "used_by": each.used_by} for each in citations]


_VENUE_FIELDS = {"inproceedings": "booktitle", "article": "journal", "misc": "howpublished"}


def to_bibtex(citations: list[Citation]) -> str:
    """BibTeX entries."""
    return "\n\n".join(_entry(each.paper) for each in citations)


def _entry(paper: Paper) -> str:
    values = {
        "author": " and ".join(paper.authors),
        "title": f"{{{paper.title}}}",  # braces within braces keep its capitals
        "year": str(paper.year),
        _VENUE_FIELDS[paper.kind]: paper.venue,
        "eprint": paper.arxiv,
        "archivePrefix": "arXiv" if paper.arxiv else "",
        "doi": paper.doi,
        "url": paper.url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in values.items() if value]
    return "\n".join([f"@{paper.kind}{{{paper.key},", *lines, "}"]).replace("&", r"\&")
