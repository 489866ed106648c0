"""Rounds within tiers of alike devices (TiFL; Chai et al. 2020; algorithms 3.16).

Devices are sorted by latency and cut into equal tiers. Each round belongs to one tier, so that nobody waits
for a device that is much slower.

The paper measures latencies in a few rounds beforehand; here they are what the cost model expects, which such
rounds would find but for their jitter. The paper tests each tier's accuracy on its devices; here the mean of
their latest training losses stands in for it, which costs the devices nothing.

T - `tiers`; I - `interval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

import numpy as np
from pydantic import Discriminator, Field, Tag

from edgesim.coordination._policy import WAITING, CoordinationPolicy
from edgesim.papers import TIFL
from edgesim.registry import component
from edgesim.server.events import Abandoned, Aggregated, Arrived, Begin, Event, Fired, Lost
from edgesim.server.policy import Abandon, Action, Aggregate, Dispatch, Remember, Stop, Wake
from edgesim.server.roster import Roster, Subset
from edgesim.server.view import View
from edgesim.yaml_source import Count, NonNegative

Numbers: TypeAlias = tuple[float, ...]
Losses: TypeAlias = tuple[float | None, ...]
State: TypeAlias = tuple[Numbers, tuple[int, ...], Losses, int]
"""Probability of each tier, rounds that each has had, mean loss of each at the latest check, tier at work."""


def _kind(given: Any) -> str:
    """Which of the ways this is; the tags stand in locations of errors and are no keys."""
    return "<weights>" if isinstance(given, list | tuple) else "<name>"


Probabilities: TypeAlias = Annotated[
    Annotated[Literal["adaptive", "uniform", "fast", "slow"], Tag("<name>")]
    | Annotated[tuple[NonNegative, ...], Field(min_length=1), Tag("<weights>")],
    Discriminator(_kind),
]


@component
class Tiered(CoordinationPolicy):
    """Synchronous rounds, each of one tier that is drawn by probability; the selector chooses within it.

    `adaptive` begins with equal probabilities. Every `interval` rounds, where the loss of the tier at work
    has not fallen since the check before, the n tiers that have credits are ranked by loss, the highest first
    and those that are not known before it: the i-th gets (n - i + 1) / (n (n + 1) / 2). The others never
    change: `uniform`, `fast` and `slow` (the first or the last tier), or a list of a weight per tier.

    Tiers without credits, or of which nobody is present, are left out of a draw. Where no tier that may be
    drawn has credits left the run ends.

    Attributes:
        clients_per_round: devices sent out per round, all that are present where the tier has fewer.
        tiers: number of tiers; their sizes differ by one at most.
        probabilities: how a round's tier is drawn.
        credits: rounds that each tier may have; absent: any number.
        interval: rounds from one check of the losses to the next.
    """

    papers = (TIFL,)
    whole_rounds: ClassVar[bool] = True

    clients_per_round: Count
    tiers: Count = 5
    probabilities: Probabilities = "adaptive"
    credits: Count | None = None
    interval: Count = 20

    def __post_init__(self) -> None:
        given = self.probabilities
        if isinstance(given, tuple) and (len(given) != self.tiers or not sum(given) > 0):
            raise ValueError(
                f"probabilities needs a weight for each of {self.tiers} tiers, not all of them 0"
            )

    @property
    def reads_loss(self) -> bool:
        """Only the adaptive probabilities do."""
        return self.probabilities == "adaptive"

    def decide(self, event: Event, view: View) -> Sequence[Action]:  # noqa: D102
        match event:
            case Begin():
                return self._begin(view, self._initial())
            case Aggregated() | Abandoned():
                return self._begin(view, self._checked(view))
            case Fired(tag) if tag == WAITING:
                return self._begin(view, cast(State, view.remembered))
            case Arrived(dispatch) | Lost(dispatch) if not view.in_flight(view.tag(dispatch)):
                held = view.held(view.tag(dispatch))
                return [Aggregate(tuple(held)) if held else Abandon()]
        return []

    def _initial(self) -> State:
        weights, number = self.probabilities, self.tiers
        if not isinstance(weights, tuple):
            only = {"fast": 0, "slow": number - 1}.get(weights)
            weights = tuple(float(only is None or tier == only) for tier in range(number))
        total = sum(weights)
        return tuple(weight / total for weight in weights), (0,) * number, (None,) * number, 0

    def _begin(self, view: View, state: State) -> list[Action]:
        probabilities, used, losses, _ = state
        weights = [p * self._has_credits(n) for p, n in zip(probabilities, used, strict=True)]
        if not any(weights):
            return [Stop("credits")]
        members = tiers_of(view.roster, self.tiers)
        waited_for = [tier for tier, weight in enumerate(weights) if weight]
        for draw in view.uniform("tier", range(self.tiers)).tolist():
            tier = _drawn(weights, draw)
            chosen = view.select(self.clients_per_round, members[tier])
            if chosen:
                now = tuple(n + (number == tier) for number, n in enumerate(used))
                return [Remember((probabilities, now, losses, tier)), Dispatch(chosen, (tier, view.rounds))]
            weights[tier] = 0.0
            if not any(weights):
                break
        anybody = np.logical_or.reduce([members[tier].mask for tier in waited_for])
        return [Remember(state), Wake(WAITING, Subset.of(anybody))]

    def _has_credits(self, used: int) -> bool:
        return self.credits is None or used < self.credits

    def _checked(self, view: View) -> State:
        """The state after a round: other probabilities where the losses ask for them."""
        probabilities, used, before, tier = cast(State, view.remembered)
        if not self.reads_loss or view.rounds % self.interval:
            return probabilities, used, before, tier
        now = _losses(view, tiers_of(view.roster, self.tiers))
        known, new = before[tier], now[tier]
        if known is not None and new is not None and new >= known:
            probabilities = ranked(now, [self._has_credits(n) for n in used])
        return probabilities, used, now, tier


@lru_cache(maxsize=4)
def tiers_of(roster: Roster, number: int) -> tuple[Subset, ...]:
    """The tiers of a fleet, from the fastest to the slowest, by the expected seconds of a visit."""
    tiers = []
    for devices in np.array_split(np.argsort(roster.expected_s, kind="stable"), number):
        mask = np.zeros(len(roster), dtype=bool)
        mask[devices] = True
        tiers.append(Subset.of(mask))
    return tuple(tiers)


def ranked(losses: Losses, eligible: Sequence[bool]) -> Numbers:
    """Probability of each tier by the rank of its loss; 0 for those that are not eligible."""
    unknown_first = sorted(
        (tier for tier, may in enumerate(eligible) if may),
        key=lambda tier: -np.inf if losses[tier] is None else -cast(float, losses[tier]),
    )
    n = len(unknown_first)
    share = {tier: (n - place) / (n * (n + 1) / 2) for place, tier in enumerate(unknown_first)}
    return tuple(share.get(tier, 0.0) for tier in range(len(losses)))


def _drawn(weights: Sequence[float], uniform: float) -> int:
    """The tier that a number between 0 and 1 stands for; one of positive weight."""
    return int(np.searchsorted(np.cumsum(weights), uniform * sum(weights), side="right"))


def _losses(view: View, tiers: Sequence[Subset]) -> Losses:
    """Mean training loss of the latest merged visits of each tier's devices; null where none is known."""
    devices = np.fromiter(view.latest.keys(), dtype=np.int64)
    losses = np.array([np.nan if x is None else x for x in view.losses([*view.latest.values()])])
    found = [losses[tier.mask[devices] & ~np.isnan(losses)] for tier in tiers]
    return tuple(float(of_tier.mean()) if of_tier.size else None for of_tier in found)
