"""Small runs of the timing half whose dispatch tables are kept to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.coordination._reference import OfProfile
from edgesim.coordination.asynchronous import Asynchronous
from edgesim.coordination.buffered import Buffered
from edgesim.coordination.deadline import Deadline
from edgesim.coordination.semi_asynchronous import SemiAsynchronous
from edgesim.coordination.synchronous import Synchronous
from edgesim.coordination.tiered import Tiered
from edgesim.rng import Streams
from tests.fakes import FixedWorkload, Run, TabledCost, one_entry_each, simulate

FOLDER = Path(__file__).parent


def _seconds(device: int, visit: int) -> tuple[float, float, float]:
    """Devices differ by a factor of four, visits by two; sums and products alone."""
    jitter = float(Streams(7).uniform("golden", device, visit))
    return 0.2 + device / 10, (1.0 + device % 4) * (1.0 + jitter), 0.5


_COST = TabledCost(_seconds, too_small=frozenset({5}))

TIMELINES: dict[str, Callable[[], Run]] = {
    "synchronous": lambda: simulate(
        _COST, devices=8, policy=Synchronous(clients_per_round=4), rounds=4, seed=3
    ),
    "asynchronous": lambda: simulate(
        _COST,
        devices=8,
        policy=Asynchronous(concurrency=4, maximum_staleness=3),
        rounds=12,
        seed=3,
    ),
    "buffered": lambda: simulate(
        _COST, devices=8, policy=Buffered(buffer=3, concurrency=5), dispatches=20, seed=3
    ),
    "semi_asynchronous": lambda: simulate(
        _COST,
        devices=8,
        policy=SemiAsynchronous(reference=OfProfile(profile="profile-2"), dispatch_gap=0.25),
        rounds=4,
        seed=3,
    ),
    "tiered": lambda: simulate(
        _COST,
        devices=8,
        roster=replace(one_entry_each(8), expected_s=np.array([sum(_seconds(i, 0)) for i in range(8)])),
        policy=Tiered(clients_per_round=2, tiers=3, interval=2),
        learner=FixedWorkload(loss=lambda order: 1.0 + order.device),
        rounds=8,
        seed=3,
    ),
    "deadline": lambda: simulate(
        _COST,
        devices=8,
        policy=Deadline(clients_per_round=3, over_selection=1.3, deadline=5.0, minimum_fraction=0.6),
        time_s=20.0,
        seed=3,
    ),
}


def rows(run: Run) -> list[dict[str, Any]]:
    """The dispatch table, a mapping per row."""
    table = run.tables.dispatches
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def write(name: str) -> None:
    """Write a golden file anew, one row per line."""
    lines = ",\n".join(json.dumps(row) for row in rows(TIMELINES[name]()))
    (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read(name: str) -> list[dict[str, Any]]:
    """What a golden file holds."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
