"""Runs by variant and seed, as figures take them."""

from __future__ import annotations

from collections.abc import Sequence

from edgesim.reports._comparison import show_seed, variant_names
from edgesim.results.run import RunResult


def by_variant(runs: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each variant, the first variant being what the others are compared with."""
    found: dict[str, list[RunResult]] = {}
    for name, run in zip(variant_names(runs), runs, strict=True):
        found.setdefault(name, []).append(run)
    return found


def one_each(runs: Sequence[RunResult]) -> dict[str, RunResult]:
    """One run of each variant: of the first seed that all variants have, else of each one's first."""
    groups = by_variant(runs)
    seeds = [[seed_of(run) for run in group] for group in groups.values()]
    common = next((seed for seed in seeds[0] if all(seed in others for others in seeds)), None)
    return {
        name: next((run for run in group if seed_of(run) == common), group[0])
        for name, group in groups.items()
    }


def seed_of(run: RunResult) -> str:
    """`7`, or `7/8` where learning and timing have seeds of their own."""
    seed = run.manifest["seed"]
    return show_seed((seed["learning"], seed["timing"]))
