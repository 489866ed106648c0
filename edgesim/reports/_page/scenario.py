"""What was asked and what was compared, as the resolved scenarios of the runs say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from edgesim import yaml_source
from edgesim.errors import show_value
from edgesim.reports._page.phrases import show_target
from edgesim.reports._page.tables import PageTable, as_csv
from edgesim.reports.comparison import Comparison, arrivals_known
from edgesim.reports.figures._runs import by_variant
from edgesim.results.run import SCENARIO, RunResult
from edgesim.yaml_source import KeyPath, Source, show_path

_OF_A_RUN = ("seed", "name")  # keys that tell runs of one variant apart
_ABSENT = "(not set)"


def question(comparison: Comparison) -> str:
    """What the scenarios ask in their first lines; one of ours where none asks anything."""
    asked = dict.fromkeys(found for run in comparison.runs if (found := _parsed(run).question))
    if asked:
        return " ".join(asked)
    if len(comparison.variants) == 1:
        return f"How does {comparison.scenario} go?"
    goal = f"reaches {show_target(comparison)} first" if arrivals_known(comparison) else "is done first"
    return f"Which variant of {comparison.scenario} {goal}?"


def facts(runs: Sequence[RunResult]) -> str:
    """The devices, the model and the data of the first run, in one line."""
    data = _parsed(runs[0]).data
    classes = runs[0].summary["participation"]
    devices = ", ".join(f"{part['devices']} {profile}" for profile, part in classes.items())
    total = sum(part["devices"] for part in classes.values())
    named = [f"{key} {data[key]['name']}" for key in ("model", "dataset") if isinstance(data.get(key), dict)]
    return "; ".join([f"{total} devices: {devices}" if len(classes) > 1 else devices, *named])


def differences(runs: Sequence[RunResult]) -> PageTable | None:
    """The keys in which the variants differ; null for a single one."""
    resolved = {name: group[0] for name, group in by_variant(runs).items()}
    if len(resolved) == 1:
        return None
    flat = {name: _flat(run) for name, run in resolved.items()}
    keys = dict.fromkeys(key for found in flat.values() for key in found)
    differing = [key for key in keys if len({found.get(key) for found in flat.values()}) > 1]
    rows = tuple((key, *(found.get(key, _ABSENT) for found in flat.values())) for key in differing)
    headings = ("key", *flat)
    return PageTable(
        name="differences",
        caption="What the variants differ in; everything else is the same.",
        headings=headings,
        rows=rows,
        csv=as_csv(pd.DataFrame(list(rows), columns=list(headings))),
        numeric=False,
    )


def strays(runs: Sequence[RunResult]) -> Iterator[str]:
    """Runs of one variant that differ in more than the seed, which a comparison takes for chance."""
    for name, group in by_variant(runs).items():
        flat = [_flat(run) for run in group]
        keys = dict.fromkeys(key for found in flat for key in found)
        differing = [key for key in keys if len({found.get(key) for found in flat}) > 1]
        if differing:
            yield f"{name}: its runs differ in more than the seed: {', '.join(differing)}"


def _parsed(run: RunResult) -> Source:
    return yaml_source.parse(run.scenario_yaml, SCENARIO)


def _flat(run: RunResult) -> dict[str, str]:
    """The values of a scenario by their paths, less those that differ from run to run."""
    data = _parsed(run).data
    kept = {key: value for key, value in data.items() if key not in _OF_A_RUN}
    return {show_path(path): show_value(value).strip('"') for path, value in _leaves(kept, ())}


def _leaves(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    inner: Mapping[Any, Any] | None = None
    if isinstance(data, dict):
        inner = data
    elif isinstance(data, list):
        inner = dict(enumerate(data))
    if not inner:
        yield path, data
        return
    for key, value in inner.items():
        yield from _leaves(value, (*path, key))
