"""The report of finished runs: one HTML page that answers the scenario's question, and asks no server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgesim.errors import InputError, Problem, RunFailed
from edgesim.reports import figures
from edgesim.reports._page import reproduction, scenario, tables, trust
from edgesim.reports._page.answer import Answer, answer
from edgesim.reports._page.drawings import Drawing, drawings, library, packed, templates
from edgesim.reports._page.phrases import unbroken
from edgesim.reports._page.tables import PageTable
from edgesim.reports.comparison import Comparison, sensitivity_sentence
from edgesim.results import files
from edgesim.results.run import REPORT, RunResult

_FOLDER = Path(__file__).parent / "_page"
_NOT_ASKED = {
    True: "Not asked. The gap after so many rounds does not depend on the devices; only the seconds do.",
    False: (
        "Not asked. The seconds rest on figures of devices that each have a range: edgesim report RUN ..."
        " --sensitivity 200 draws them within their ranges and counts how often the ranking stays."
    ),
}
"""What is said of the sensitivity where it was not asked: of theory, and of anything else."""


@dataclass(frozen=True, kw_only=True)
class _Page:
    """What the template shows."""

    kind: str
    scenario: str
    question: str
    answer: Answer
    variants: PageTable
    figures: Sequence[Drawing]
    sensitivity: str
    facts: str
    differences: PageTable | None
    participation: PageTable
    trust: Sequence[str]
    classes: PageTable | None
    visits: PageTable
    origins: PageTable | None
    warnings: Sequence[str]
    commands: Sequence[str]
    circumstances: PageTable
    scenarios: Mapping[str, str]
    version: str

    @property
    def lead(self) -> Sequence[Drawing]:
        """The first figure, where it fits beside the table."""
        return [figure for figure in self.figures[:1] if not figure.tall]

    def tables(self) -> list[PageTable]:
        """All its tables."""
        return [value for value in vars(self).values() if isinstance(value, PageTable)]


def headline(comparison: Comparison) -> str:
    """The answer in one sentence."""
    return answer(comparison).sentence


def render(comparison: Comparison) -> str:
    """The page as HTML; the same comparison of the same runs gives the same page."""
    page = _page(comparison)
    csv = {f"{table.name}.csv": table.csv for table in page.tables()}
    csv |= {f"{figure.name}.csv": figure.csv for figure in page.figures}
    plots = {figure.name: figure.plot for figure in page.figures}
    content = json.dumps(
        {"plots": plots, "templates": templates(), "files": {**csv, **page.scenarios}}, separators=(",", ":")
    )
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template("page.html.j2").render(
        page=page,
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup((_FOLDER / "page.js").read_text(encoding="utf-8")),
        library=Markup(library()),
        content=Markup(packed(content)),
    )


def _page(comparison: Comparison) -> _Page:
    runs, sensitivity = comparison.runs, comparison.sensitivity
    theory = any(variant.final_gap is not None for variant in comparison.variants)
    untrained = all(run.manifest["timing_only"] for run in runs)
    kind = "theory" if theory else "timing alone" if untrained else "training with simulated time"
    return _Page(
        kind=kind,
        scenario=comparison.scenario,
        question=scenario.question(comparison),
        answer=answer(comparison),
        variants=tables.variants(comparison),
        figures=drawings(runs),
        sensitivity=sensitivity_sentence(sensitivity) if sensitivity else _NOT_ASKED[theory],
        facts=scenario.facts(runs),
        differences=scenario.differences(runs),
        participation=tables.participation(comparison),
        trust=trust.sentences(runs),
        classes=trust.classes(runs),
        visits=trust.visits(runs),
        origins=trust.figures(runs),
        warnings=[*scenario.strays(runs), *_warnings(comparison)],
        commands=reproduction.commands(runs),
        circumstances=reproduction.circumstances(runs),
        scenarios=reproduction.scenarios(runs),
        version=", ".join(dict.fromkeys(run.manifest["versions"]["edgesim"] for run in runs)),
    )


def _warnings(comparison: Comparison) -> list[str]:
    return [f"{variant.name}, {warning}" for variant in comparison.variants for warning in variant.warnings]


def place(directories: Sequence[Path], out: Path | None = None) -> Path:
    """Where the report of these run directories goes: beside them, or into the only one.

    Args:
        directories: at least one.
        out: somewhere else.

    Raises:
        InputError: they lie in several folders, or `out` is not called `.html`.
    """
    if out is not None:
        if out.suffix != ".html":
            raise InputError(Problem("a report is a page: call it NAME.html", place=str(out)))
        return out
    if len(directories) == 1:
        return directories[0] / REPORT
    folders = list(dict.fromkeys(directory.parent for directory in directories))
    if len(folders) > 1:
        shown = ", ".join(map(str, folders))
        raise InputError(f"the runs lie in several folders ({shown}); say where the report goes with --out")
    return folders[0] / REPORT


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all, in place of an earlier one.

    Raises:
        RunFailed: it cannot be written.
    """
    text = render(comparison)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error


def paint(runs: Sequence[RunResult], folder: Path) -> list[Path]:
    """Write each figure that has something to show of these runs as PNG and SVG; their paths.

    Raises:
        RunFailed: the folder cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in figures.applicable(runs):
            painted = figures.paint(name, runs)
            for suffix in ("png", "svg"):
                paths.append(folder / f"{name}.{suffix}")
                painted.savefig(paths[-1])
    except OSError as error:
        raise _unwritable(folder, error) from error
    return paths


def _unwritable(path: Path, error: OSError) -> RunFailed:
    return RunFailed(f"{path}: cannot be written: {error.strerror or error}")
