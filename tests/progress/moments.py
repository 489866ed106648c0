"""Moments of a run that never was."""

from __future__ import annotations

from typing import Any

from edgesim.progress.moment import Moment
from edgesim.server.plan import StopRule, Target

NOBODY = {"downloading": 0, "computing": 0, "uploading": 0, "waiting": 0, "absent": 0}


def moment(time_s: float = 34.5, rounds: int = 12, *, target: float | None = None, **facts: Any) -> Moment:
    """Twelve of forty rounds of thirty devices, unless it is to be otherwise.

    Args:
        time_s: virtual time.
        rounds: that are over.
        target: accuracy that ends the run.
        facts: other fields of the moment.
    """
    goal = None if target is None else Target(metric="accuracy", value=target)
    given: dict[str, Any] = {
        "stop": StopRule(rounds=40, target=goal),
        "ended": False,
        "devices": NOBODY | {"downloading": 3, "computing": 6, "uploading": 1, "waiting": 20},
        "outcomes": {"aggregated": 117, "late": 2, "dropped": 1},
        "sent": 130,
        "metrics": {"loss": 0.5, "accuracy": 0.812},
    }
    return Moment(time_s=time_s, rounds=rounds, **(given | facts))


class HostClock:
    """Host seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
