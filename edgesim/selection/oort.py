"""Oort (Lai et al., OSDI 2021; algorithms 3.15): devices that teach the model most per second.

    U_i     statistical utility, |B_i| sqrt(mean of squared sample losses)
    score   (min(U_i, clip) - U_min) / (U_max - U_min) + sqrt(0.1 ln r / r_i),
            times (T / t_i)^alpha where t_i > T
    r, r_i  present round, and the round of device i's latest merged visit, from 1
    t_i     seconds of that visit
    T       preferred duration, `T_pref` in 3.15: a percentile of the t_i that the pacer moves

A device reports the mean of its sample losses, not that of their squares: |B_i| times the mean, which is at
most U_i, stands in for U_i. Over-commitment (1.1 in the paper) is a matter of the coordination (`deadline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.papers import OORT
from edgesim.registry import component
from edgesim.selection._selector import SelectionRule
from edgesim.server.draw import first_of_race
from edgesim.server.view import View
from edgesim.yaml_source import Count, Fraction, NonNegative, Positive, Probability

Floats = NDArray[np.float64]
Visits = NDArray[Any]

_VISIT = np.dtype([("device", "i8"), ("round", "i8"), ("seconds", "f8"), ("utility", "f8")])
_CLIP = 0.98  # quantile of the utilities
_TEMPORAL = 0.1
_LITTLE, _MUCH = 0.1, 5.0  # relative changes of utility at which the pacer moves
_WINDOW = 5  # unexplored devices looked at per place, so that a large fleet costs no more than a small one


@component
class Oort(SelectionRule):
    """A falling share of the places goes to devices never tried, the rest to those of high utility.

    Exploited: among devices with at least `cut_off` of the k-th best score, in proportion to their scores.
    Explored: among devices without a known loss, in proportion to their samples, times the same penalty where
    the cost model expects them to take longer than T; of these five per place are looked at, drawn uniformly.

    Attributes:
        exploration: share of places for exploration, before the first round.
        exploration_decay: what it is multiplied by in each round.
        exploration_floor: what it does not fall below as long as there is somebody to explore.
        cut_off: share of the k-th best score that admits to the draw.
        penalty: alpha, how hard a device is punished for taking longer than T.
        percentile: of the durations, T before the pacer moves it.
        pacer_step: rounds after which the pacer compares the utilities exploited since with those before; it
            moves the percentile up where they have hardly changed, and down where they changed sharply.
        pacer_delta: by how much.
    """

    papers = (OORT,)
    reads_loss: ClassVar[bool] = True

    exploration: Probability = 0.9
    exploration_decay: Fraction = 0.95
    exploration_floor: Probability = 0.2
    cut_off: Probability = 0.7
    penalty: NonNegative = 2.0
    percentile: Annotated[float, Field(gt=0, le=100)] = 10.0
    pacer_step: Count = 20
    pacer_delta: Positive = 5.0

    def pick(self, k: int, view: View) -> Sequence[int]:  # noqa: D102
        visits = _known(view)
        latest = visits[_last_of_each(visits["device"])]
        preferred_s = self._preferred_s(visits, latest["seconds"], view.version)
        explored = set(latest["device"].tolist())
        fresh = np.array(view.draw(_WINDOW * k, without=explored), dtype=np.int64)
        free = latest[np.isin(latest["device"], view.free(latest["device"].tolist()))]
        explore = min(k - min(self._exploited(k, view), len(free)), len(fresh))
        exploit = min(k - explore, len(free))
        return [
            *self._exploit(exploit, free, preferred_s, view),
            *self._explore(explore, fresh, preferred_s, view),
        ]

    def _exploited(self, k: int, view: View) -> int:
        """Places for exploitation; in the mean over draws exactly the share, however few places there are."""
        share = self.exploration * self.exploration_decay ** (view.version + 1)
        return int(k * (1 - max(self.exploration_floor, share)) + float(view.uniform("oort-share")))

    def _preferred_s(self, visits: Visits, seconds: Floats, rounds: int) -> float:
        """T after so many rounds; infinite while nothing is known."""
        percentile = self.percentile
        repeated = np.delete(np.arange(len(visits)), _first_of_each(visits["device"]))
        windows = (visits["round"][repeated] - 1) // self.pacer_step
        complete = rounds // self.pacer_step
        utility = np.bincount(windows, visits["utility"][repeated], minlength=complete)[:complete]
        for before, now in pairwise(utility.tolist()):
            if abs(now - before) <= _LITTLE * before:
                percentile = min(100.0, percentile + self.pacer_delta)
            elif abs(now - before) >= _MUCH * before:
                percentile = max(self.pacer_delta, percentile - self.pacer_delta)
        return _quantile(seconds, percentile / 100) if percentile < 100 and len(seconds) else np.inf

    def _exploit(self, k: int, free: Visits, preferred_s: float, view: View) -> list[int]:
        if not k:
            return []
        scores = self._scores(free, preferred_s, view.version + 1)
        admitted = scores >= self.cut_off * np.sort(scores)[-k]
        return _drawn(k, free["device"][admitted], scores[admitted], view)

    def _scores(self, visits: Visits, preferred_s: float, round_: int) -> Floats:
        """Score of each of these devices' latest visits, [visits]."""
        utility = visits["utility"]
        spread = np.ptp(utility) or 1.0
        gain = (np.minimum(utility, _quantile(utility, _CLIP)) - utility.min()) / spread
        scores: Floats = gain + np.sqrt(_TEMPORAL * np.log(round_) / visits["round"])
        return scores * self._penalty(visits["seconds"], preferred_s)

    def _explore(self, k: int, fresh: NDArray[np.int64], preferred_s: float, view: View) -> list[int]:
        roster = view.roster
        weights = roster.samples[fresh] * self._penalty(roster.expected_s[fresh], preferred_s)
        return _drawn(k, fresh, weights, view)

    def _penalty(self, seconds: Floats, preferred_s: float) -> Floats:
        """(T / t)^alpha where t exceeds T, else 1."""
        slower = seconds > preferred_s
        return np.power(
            np.divide(preferred_s, seconds, out=np.ones(len(seconds)), where=slower), self.penalty
        )


def _known(view: View) -> Visits:
    """Merged visits whose loss is known, in the order in which they were merged."""
    samples = view.roster.samples
    return np.array(
        [
            (device, view.merged_into(visit), view.duration_s(visit), samples[device] * loss)
            for visit, loss in zip(view.history, view.losses(view.history), strict=True)
            if loss is not None
            for device in [view.device(visit)]
        ],
        dtype=_VISIT,
    )


def _first_of_each(devices: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(devices, return_index=True)[1]


def _last_of_each(devices: NDArray[np.int64]) -> NDArray[np.int64]:
    return len(devices) - 1 - _first_of_each(devices[::-1])


def _quantile(values: Floats, share: float) -> float:
    """The value below which this share of the values lies, one of them."""
    return float(np.sort(values)[min(int(len(values) * share), len(values) - 1)])


def _drawn(k: int, devices: NDArray[np.int64], weights: Floats, view: View) -> list[int]:
    """`k` of these devices without replacement, in proportion to their weights."""
    order = first_of_race(weights, view.uniform("oort", devices))
    found: list[int] = devices[order[:k]].tolist()
    return found
