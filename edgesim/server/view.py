"""What policies and selectors read: every fact of the run so far, and nothing of its future."""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesim.learner import Learner
from edgesim.rng import Streams
from edgesim.server.draw import draw_distinct
from edgesim.server.events import Tag
from edgesim.server.rows import DispatchRows
from edgesim.server.visits import Visits

if TYPE_CHECKING:
    from edgesim.server.policy import Remembered, Selector


@dataclass(slots=True)
class Progress:
    """How far the run has come; the server keeps it.

    Attributes:
        time_s: virtual time of the latest event.
        version: version of the model; the initial one is 0.
        rounds: rounds that are over, aggregated and abandoned ones together.
        sent_in_round: dispatches since the latest round was over.
        remembered: what the policy asked to remember.
        aggregated: dispatches whose updates were merged, in the order in which they were.
    """

    time_s: float = 0.0
    version: int = 0
    rounds: int = 0
    sent_in_round: int = 0
    remembered: Remembered = None
    aggregated: list[int] = field(default_factory=list)


class View:
    """The read-only face of the server."""

    def __init__(
        self,
        devices: int,
        dispatch_limit: int | None,
        progress: Progress,
        visits: Visits,
        rows: DispatchRows,
        selector: Selector,
        learner: Learner,
        streams: Streams,
    ) -> None:
        self.devices = devices
        self._dispatch_limit = dispatch_limit
        self._progress = progress
        self._visits = visits
        self._rows = rows
        self._selector = selector
        self._learner = learner
        self._streams = streams

    @property
    def time_s(self) -> float:
        """Virtual time of the event that is being decided about."""
        return self._progress.time_s

    @property
    def version(self) -> int:
        """Version of the model that a dispatch would take out now; the initial one is 0."""
        return self._progress.version

    @property
    def rounds(self) -> int:
        """Rounds that are over, aggregated and abandoned; the number, from 0, of the present round."""
        return self._progress.rounds

    @property
    def remembered(self) -> Remembered:
        """The latest value of `Remember`, null before."""
        return self._progress.remembered

    @property
    def open_tags(self) -> KeysView[Tag]:
        """Tags with anything in flight or held."""
        return self._visits.open_tags()

    @property
    def idle(self) -> int:
        """How many devices are idle."""
        return self.devices - len(self._visits.busy)

    @property
    def remaining_dispatches(self) -> int | None:
        """How many more dispatches the stop rule allows; null where it sets no limit."""
        return None if self._dispatch_limit is None else self._dispatch_limit - len(self._visits)

    @property
    def history(self) -> Sequence[int]:
        """Dispatches whose updates were merged, in the order in which they were."""
        return self._progress.aggregated

    def tag(self, dispatch: int) -> Tag:
        """The tag under which a dispatch was sent."""
        return self._visits.tags[dispatch]

    def device(self, dispatch: int) -> int:
        """The device that a dispatch was sent to."""
        return self._rows.device[dispatch]

    def duration_s(self, dispatch: int) -> float:
        """Seconds from the dispatch of a visit that has ended to its end."""
        return self._rows.finished_s[dispatch] - self._rows.dispatched_s[dispatch]

    def losses(self, dispatches: Sequence[int]) -> Sequence[float | None]:
        """Mean training losses of visits in `history`; null where nothing is trained."""
        return self._learner.losses(dispatches)

    def in_flight(self, tag: Tag) -> KeysView[int]:
        """Dispatches of a tag that are at work, in dispatch order."""
        return self._visits.in_flight(tag)

    def held(self, tag: Tag) -> KeysView[int]:
        """Dispatches of a tag whose updates have arrived and are not decided about, in order of arrival."""
        return self._visits.held(tag)

    def is_idle(self, device: int) -> bool:
        """Whether a device is without work."""
        return device not in self._visits.busy

    def select(self, k: int) -> list[int]:
        """Whom the selector sends out if asked for `k`, within the limit on dispatches."""
        remaining = self.remaining_dispatches
        wanted = k if remaining is None else min(k, remaining)
        return list(self._selector.pick(wanted, self))[:remaining] if wanted > 0 and self.idle else []

    def draw(self, k: int) -> list[int]:
        """Up to `k` distinct idle devices, uniformly; the same ones until something is dispatched or decided.

        The draw is named by the round and by how many were sent in it, so that variants whose rounds are
        alike draw alike.
        """
        key = (self._progress.rounds, self._progress.sent_in_round)
        return draw_distinct(self._streams, key, min(k, self.idle), self.devices, self.is_idle)
