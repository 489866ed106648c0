"""Runs of several variants and seeds, all made of the golden run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgesim.results.run import RunResult
from tests.results import golden_run


def run(variant: str, seed: int, seconds_to_target: float | None, **summary: Any) -> RunResult:
    """The golden run as another variant and seed that reached its target at another time, or never."""
    golden = golden_run.result()
    reached = {"target_reached": seconds_to_target is not None, "seconds_to_target": seconds_to_target}
    return replace(
        golden,
        manifest={**golden.manifest, "variant": variant, "seed": {"learning": seed, "timing": seed}},
        summary={**golden.summary, **reached, **summary},
    )


def timed(variant: str, seed: int, virtual_s: float) -> RunResult:
    golden = golden_run.timing_only()
    return replace(
        golden,
        manifest={**golden.manifest, "variant": variant, "seed": {"learning": seed, "timing": seed}},
        summary={**golden.summary, "virtual_s": virtual_s},
    )
