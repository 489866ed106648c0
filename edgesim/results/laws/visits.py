"""Laws of visits: how they are numbered, how their phases add up, and what becomes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from edgesim.results.laws.evidence import (
    Evidence,
    Finding,
    column,
    differs,
    exceeds,
    first_broken,
    judge,
)
from edgesim.results.summary import OUTCOMES

PHASES = ("download_s", "compute_s", "upload_s")
ARRIVED = ("aggregated", "late", "discarded", "rejected")
"""Outcomes of visits whose update reached the server."""


def dispatches_are_numbered_in_order(evidence: Evidence) -> Finding:
    """Dispatches bear the numbers 0, 1, 2, ... and are sent out in this order."""
    numbers, sent_s = column(evidence.visits, "dispatch"), column(evidence.visits, "dispatched_s")
    earlier = np.diff(sent_s, prepend=0.0) < 0
    return first_broken(
        judge(
            numbers != np.arange(len(numbers)),
            lambda row: f"row {row} is dispatch {numbers[row]:g}",
            "visits",
        ),
        judge(
            earlier, lambda row: f"dispatch {row} was sent at {sent_s[row]:g} s, before the last", "visits"
        ),
    )


def visits_of_a_device_are_numbered_in_order(evidence: Evidence) -> Finding:
    """The visits of each device bear the numbers 0, 1, 2, ..."""
    visits = evidence.visits
    wanted = visits.groupby("device").cumcount().to_numpy()
    found, devices = column(visits, "visit"), visits["device"].to_numpy()

    def say(row: int) -> str:
        return (
            f"{_name(visits, row)}: visit {found[row]:g} of device {devices[row]} where {wanted[row]} is due"
        )

    return judge(found != wanted, say, "visits")


def a_device_does_one_visit_at_a_time(evidence: Evidence) -> Finding:
    """A device is sent out again no sooner than its last visit has ended."""
    visits = evidence.visits.sort_values(["device", "dispatch"], kind="stable").reset_index(drop=True)
    sent_s, device = column(visits, "dispatched_s"), column(visits, "device")
    ended_s = np.where(visits["outcome"] == "unfinished", np.inf, column(visits, "finished_s"))
    before_s = np.concatenate([[-np.inf], ended_s[:-1]])[: len(visits)]
    again = np.diff(device, prepend=-1) == 0

    def say(row: int) -> str:
        busy = f"busy until {before_s[row]:g} s"
        return f"{_name(visits, row)} went to device {device[row]:g} at {sent_s[row]:g} s, {busy}"

    return judge(again & ~(sent_s >= before_s), say, "visits")


def phases_add_up(evidence: Evidence) -> Finding:
    """Dispatched + download + compute + upload + paused = finished; what was cut off has taken no longer."""
    visits = evidence.visits
    sent_s, finished_s = column(visits, "dispatched_s"), column(visits, "finished_s")
    phases_s = np.array([column(visits, phase) for phase in PHASES])
    whole = ~np.isnan(phases_s).any(axis=0)
    sum_s = sent_s + np.nansum(phases_s, axis=0) + column(visits, "paused_s")
    until_s = np.where(np.isnan(finished_s), evidence.end_s, finished_s)
    missed = np.where(whole & ~np.isnan(finished_s), differs(sum_s, finished_s), exceeds(sum_s, until_s))

    def say(row: int) -> str:
        return f"{_name(visits, row)}: its phases end at {sum_s[row]:.9g} s and it at {until_s[row]:.9g} s"

    return first_broken(
        judge(missed.astype(bool), say, "visits"),
        judge(
            (np.nan_to_num(phases_s) < 0).any(axis=0) | (column(visits, "paused_s") < 0),
            lambda row: f"{_name(visits, row)}: a phase took less than no time",
            "visits",
        ),
    )


def outcomes_fit_the_phases(evidence: Evidence) -> Finding:
    """Outcomes are known ones; who arrived did all phases, in order; the unfinished alone have no end."""
    visits = evidence.visits
    outcome = visits["outcome"].to_numpy(dtype=object)
    download, compute, upload = (~np.isnan(column(visits, phase)) for phase in PHASES)
    unfinished = outcome == "unfinished"
    wrong = {
        "has no known outcome": ~np.isin(outcome, OUTCOMES),
        "has a phase without the one before": (compute & ~download) | (upload & ~compute),
        "arrived without all of its phases": np.isin(outcome, ARRIVED) & ~upload,
        "computed and yet ran out of memory": (outcome == "out_of_memory") & compute,
        "ended and is unfinished, or neither": unfinished != np.isnan(column(visits, "finished_s")),
    }

    def of(what: str) -> Finding:
        return judge(wrong[what], lambda row: f"{_name(visits, row)} ({outcome[row]}) {what}", "visits")

    return first_broken(*map(of, wrong))


def traffic_fits_the_phases(evidence: Evidence) -> Finding:
    """Bytes are counted for the transfers that were completed, and FLOPs for completed training."""
    visits = evidence.visits

    def of(what: str, phase: str) -> Finding:
        counted = column(visits, what)
        return judge(
            (counted < 0) | ((counted > 0) & np.isnan(column(visits, phase))),
            lambda row: f"{_name(visits, row)}: {counted[row]:.0f} {what} and no {phase}",
            "visits",
        )

    return first_broken(
        of("bytes_down", "download_s"), of("bytes_up", "upload_s"), of("train_flops", "compute_s")
    )


def _name(visits: pd.DataFrame, row: int) -> str:
    return f"dispatch {visits['dispatch'].iloc[row]}"
