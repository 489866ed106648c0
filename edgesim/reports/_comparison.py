"""The runs of a scenario, variant by variant over their seeds.

Seconds to target, their median and their interval are those of design section 5; a run that never arrives
counts as infinitely late and is never dropped. Variants are paired by seed.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from edgesim.errors import InputError
from edgesim.reports._statistics import Spread, speedup, spread
from edgesim.results.run import RunResult
from edgesim.results.summary import cost_bases

if TYPE_CHECKING:  # it comes with PyTorch, which reading results does not need
    from edgesim.sensitivity import Sensitivity

Seed: TypeAlias = tuple[int, int]
"""Seeds of learning and timing."""

COUNTS = ("dispatched", "aggregated", "late", "out_of_memory")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What came of one variant. Medians are over its runs, and null where any run does not know the number.

    Attributes:
        name: of the variant.
        seeds: of its runs.
        seconds_to_target: infinite where most runs never arrived; null without a target or without training.
        reached: runs that arrived; null as before.
        speedup: against the first variant, see `edgesim.reports._statistics.speedup`.
        final_accuracy: accuracy of the last evaluation.
        final_gap: how far its loss is above the least, where that is known.
        virtual_s: seconds of the whole run.
        aggregations: how often updates were merged.
        bytes_up: uploaded by all devices.
        bytes_down: downloaded by all devices.
        energy_j: joules of all devices.
        cost_basis: of how many visits of all runs the seconds are known in which way.
        participation: by profile the sums over all runs of `COUNTS`, and the median of mean visit seconds.
        warnings: of its runs, with their seeds.
    """

    name: str
    seeds: tuple[Seed, ...]
    seconds_to_target: Spread | None
    reached: int | None
    speedup: float | None
    final_accuracy: Spread | None
    final_gap: Spread | None
    virtual_s: Spread
    aggregations: float
    bytes_up: float
    bytes_down: float
    energy_j: float | None
    cost_basis: Mapping[str, int]
    participation: Mapping[str, Mapping[str, float | None]]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The variants of a scenario, the first of them being what the others are compared with.

    Attributes:
        scenario: name of the scenario.
        target: metric and value to be reached; null where there is none.
        variants: in the order in which their first runs were given.
        sensitivity: how often their ranking stays within the profiles' ranges; null where not asked for.
        runs: what was compared, in the order in which it was given.
    """

    scenario: str
    target: Mapping[str, float] | None
    variants: tuple[Variant, ...]
    sensitivity: Sensitivity | None = None
    runs: tuple[RunResult, ...] = field(default=(), repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row per variant in base units, with intervals: see `edgesim.reports.comparison.to_frame`."""
        from edgesim.reports.comparison import to_frame  # which stands on this file

        return to_frame(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the table of `edgesim compare`."""
        from edgesim.reports.comparison import to_html

        return to_html(self)


def compare(runs: Sequence[RunResult]) -> Comparison:
    """Compare finished runs.

    Args:
        runs: at least one; those of one variant belong together. Runs of several scenarios are told apart by
            variants called `scenario/variant`.

    Raises:
        InputError: a seed occurs twice in a variant, or the runs have different targets.
    """
    scenarios = dict.fromkeys(run.manifest["scenario"] for run in runs)
    by_variant: dict[str, dict[Seed, RunResult]] = {}
    for name, run in zip(variant_names(runs), runs, strict=True):
        seed = _seed(run)
        if seed in by_variant.setdefault(name, {}):
            raise InputError(
                f"variant {name} was given twice with seed {show_seed(seed)}; give each run once"
            )
        by_variant[name][seed] = run
    target = _common_target(runs)
    baseline_s = _arrivals(next(iter(by_variant.values())))
    variants = tuple(_variant(name, group, baseline_s) for name, group in by_variant.items())
    return Comparison(", ".join(scenarios), target, variants, runs=tuple(runs))


def variant_names(runs: Sequence[RunResult]) -> list[str]:
    """Of each run the name of its variant, with its scenario's where there are several."""
    several = len({run.manifest["scenario"] for run in runs}) > 1
    return [
        f"{run.manifest['scenario']}/{run.manifest['variant']}" if several else run.manifest["variant"]
        for run in runs
    ]


def _seed(run: RunResult) -> Seed:
    seed = run.manifest["seed"]
    return seed["learning"], seed["timing"]


def show_seed(seed: Seed) -> str:
    """`7`, or `7/8` where learning and timing have seeds of their own."""
    learning, timing = seed
    return str(timing) if learning == timing else f"{learning}/{timing}"


def _common_target(runs: Sequence[RunResult]) -> Mapping[str, float] | None:
    target: Mapping[str, float] | None = runs[0].summary["target"]
    for run in runs:
        other = run.summary["target"]
        if other != target:
            raise InputError(
                f"stop.target: runs with different targets cannot be compared, got {target} in variant "
                f"{runs[0].manifest['variant']} and {other} in {run.manifest['variant']}; give all the same"
            )
    return target


def _arrivals(group: Mapping[Seed, RunResult]) -> dict[Seed, float]:
    """Seconds to target by seed, infinite where never reached; empty where a run does not know."""
    if any(run.summary["target_reached"] is None for run in group.values()):
        return {}
    return {
        seed: run.summary["seconds_to_target"] if run.summary["target_reached"] else math.inf
        for seed, run in group.items()
    }


def _variant(name: str, group: Mapping[Seed, RunResult], baseline_s: Mapping[Seed, float]) -> Variant:
    arrivals_s = _arrivals(group)
    summaries = [run.summary for run in group.values()]
    accuracies, gaps = (
        _known([summary["final"].get(name) for summary in summaries]) for name in ("accuracy", "gap")
    )
    energies_j = _known([summary["energy_j"] for summary in summaries])
    return Variant(
        name=name,
        seeds=tuple(group),
        seconds_to_target=spread(list(arrivals_s.values())) if arrivals_s else None,
        reached=sum(map(math.isfinite, arrivals_s.values())) if arrivals_s else None,
        speedup=speedup(baseline_s, arrivals_s),
        final_accuracy=spread(accuracies) if accuracies else None,
        final_gap=spread(gaps) if gaps else None,
        virtual_s=spread([summary["virtual_s"] for summary in summaries]),
        aggregations=statistics.median(summary["aggregations"] for summary in summaries),
        bytes_up=statistics.median(summary["bytes_up"] for summary in summaries),
        bytes_down=statistics.median(summary["bytes_down"] for summary in summaries),
        energy_j=statistics.median(energies_j) if energies_j else None,
        cost_basis=sum((Counter(cost_bases(run.tables["dispatches"])) for run in group.values()), Counter()),
        participation=_participation(summaries),
        warnings=tuple(_warnings(group)),
    )


def _known(values: Sequence[float | None]) -> list[float]:
    """The values if all are known, else none of them."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _participation(summaries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    profiles = dict.fromkeys(profile for summary in summaries for profile in summary["participation"])
    found: dict[str, dict[str, float | None]] = {}
    for profile in profiles:
        parts = [
            summary["participation"][profile] for summary in summaries if profile in summary["participation"]
        ]
        visits_s = [part["visit_s"] for part in parts if part["visit_s"] is not None]
        found[profile] = {
            **{key: sum(part[key] for part in parts) for key in COUNTS},
            "visit_s": statistics.median(visits_s) if visits_s else None,
        }
    return found


def _warnings(group: Mapping[Seed, RunResult]) -> Iterator[str]:
    """Each warning once, with the seeds at which it was given."""
    seeds_of: dict[str, list[str]] = {}
    for seed, run in group.items():
        for warning in run.summary["warnings"]:
            seeds_of.setdefault(warning, []).append(show_seed(seed))
    for warning, seeds in seeds_of.items():
        yield f"seed {', '.join(seeds)}: {warning}"
