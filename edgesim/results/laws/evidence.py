"""What a law reads of a run, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from edgesim import yaml_source
from edgesim.results.run import SCENARIO, RunResult

Floats: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-9
"""Sums of seconds, joules and bits may miss by this share of the largest number in them (float rounding)."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A run as the laws see it.

    Attributes:
        tables: by name; those that runs did not always have may be missing.
        summary: as written.
        scenario: plain data of the resolved scenario.
        timing_only: whether nothing was trained.
        end_s: virtual time of the end of the run.
    """

    tables: Mapping[str, pd.DataFrame]
    summary: Mapping[str, Any]
    scenario: Mapping[str, Any]
    timing_only: bool
    end_s: float

    @classmethod
    def of(cls, run: RunResult) -> Self:
        """What a finished run gives.

        Raises:
            InputError: its scenario is no YAML.
        """
        return cls(
            run.tables,
            run.summary,
            yaml_source.parse(run.scenario_yaml, SCENARIO).data or {},
            run.manifest["timing_only"],
            float(run.tables["evaluations"]["time_s"].max()),
        )

    @property
    def visits(self) -> pd.DataFrame:
        """The dispatches."""
        return self.tables["dispatches"]

    @property
    def policy(self) -> Mapping[str, Any]:
        """The parameters of the coordination, its name among them."""
        found = self.scenario.get("coordination", {})
        return found if isinstance(found, Mapping) else {"name": found}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law says of a run.

    Attributes:
        state: whether it holds; skipped where the run has nothing that it is about.
        detail: what was held against it, or the first breach with place and value.
    """

    state: Literal["ok", "broken", "skipped"]
    detail: str


Law: TypeAlias = Callable[[Evidence], Finding]


def kept(detail: str) -> Finding:
    """The law holds."""
    return Finding("ok", detail)


def broken(detail: str) -> Finding:
    """The law does not hold."""
    return Finding("broken", detail)


def skipped(why: str) -> Finding:
    """The run has nothing that the law is about."""
    return Finding("skipped", why)


def judge(breaches: NDArray[np.bool_], say: Callable[[int], str], over: str) -> Finding:
    """Whether no row breaks a law.

    Args:
        breaches: whether each row does, [n].
        say: what is wrong with a row.
        over: what the rows are, in the plural.
    """
    rows = np.flatnonzero(breaches)
    if not rows.size:
        return kept(f"{len(breaches)} {over}")
    more = f" (and {rows.size - 1} more of {len(breaches)} {over})" if rows.size > 1 else ""
    return broken(f"{say(int(rows[0]))}{more}")


def first_broken(*findings: Finding) -> Finding:
    """The first that is broken, else the first of all."""
    return next((finding for finding in findings if finding.state == "broken"), findings[0])


def column(table: pd.DataFrame, name: str) -> Floats:
    """A column as numbers, NaN where unknown."""
    return table[name].to_numpy(dtype=np.float64, na_value=np.nan)


def differs(found: ArrayLike, expected: ArrayLike, scale: ArrayLike = 0.0) -> NDArray[np.bool_]:
    """Whether numbers differ by more than rounding; an unknown one equals an unknown one only.

    Args:
        found: as written.
        expected: as re-derived.
        scale: the largest numbers that were added up for them, where those are larger than themselves.
    """
    left, right = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    bound = TOLERANCE * np.maximum(np.maximum(np.abs(left), np.abs(right)), np.asarray(scale))
    with np.errstate(invalid="ignore"):
        far = ~(np.abs(left - right) <= bound) & (left != right)
    return np.asarray(far & ~(np.isnan(left) & np.isnan(right)))


def exceeds(found: ArrayLike, limit: ArrayLike) -> NDArray[np.bool_]:
    """Whether numbers are above a limit by more than rounding; unknown ones are not."""
    left, right = np.asarray(found, dtype=np.float64), np.asarray(limit, dtype=np.float64)
    return np.asarray(left > right + TOLERANCE * np.maximum(np.abs(left), np.abs(right)))
