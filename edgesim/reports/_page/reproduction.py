"""How to get the same runs again: the scenarios as resolved, the commands, and what they ran on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from edgesim.reports import _format
from edgesim.reports._page.tables import PageTable, as_csv
from edgesim.reports.figures._runs import by_variant
from edgesim.results.run import RunResult


def scenarios(runs: Sequence[RunResult]) -> dict[str, str]:
    """The resolved scenario of each variant, at its first seed, by the name of its file."""
    return {_file(name): group[0].scenario_yaml for name, group in by_variant(runs).items()}


def commands(runs: Sequence[RunResult]) -> list[str]:
    """A command for each run, once its scenario is saved."""
    return [
        " ".join(["edgesim run", shlex.quote(_file(name)), *_options(run)])
        for name, group in by_variant(runs).items()
        for run in group
    ]


def _file(variant: str) -> str:
    return f"{variant.replace('/', '-')}.yaml"


def _options(run: RunResult) -> Iterator[str]:
    seed = run.manifest["seed"]
    if seed["learning"] == seed["timing"]:
        yield f"--seed {seed['timing']}"
    else:
        yield f"--set seed.learning={seed['learning']} --set seed.timing={seed['timing']}"
    if run.manifest["timing_only"]:
        yield "--timing-only"


def circumstances(runs: Sequence[RunResult]) -> PageTable:
    """Versions and machines; where runs differ, all that there were."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for key, value in _circumstances(run.manifest):
            found.setdefault(key, {})[value] = None
    rows = tuple((key, " | ".join(values)) for key, values in found.items())
    wall_s = sum(run.summary["wall_s"]["total"] for run in runs)
    return PageTable(
        name="circumstances",
        caption=f"What the runs were made with; together they took {_format.seconds(wall_s)} to compute.",
        headings=("what", "which"),
        rows=rows,
        csv=as_csv(pd.DataFrame(list(rows), columns=["what", "which"])),
        numeric=False,
    )


def _circumstances(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, str(version)) for name, version in manifest["versions"].items())
    yield from ((name.replace("_", " "), str(value)) for name, value in manifest["host"].items())
    yield "trained on", "nothing was trained" if manifest["timing_only"] else str(manifest["device"])
    if "retimed_from" in manifest:
        yield "re-timed with", json.dumps(manifest["retimed_from"]["set"])
