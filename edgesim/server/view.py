"""What policies and selectors read: every fact of the run so far, and nothing of its future."""

from __future__ import annotations

import copy
from collections.abc import Container, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgesim.learner import Learner
from edgesim.rng import Streams
from edgesim.server.draw import draw_distinct, draw_in_proportion
from edgesim.server.events import Tag
from edgesim.server.roster import Presence, Roster, Subset, samples_up_to
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
        latest: per device, the latest of them.
    """

    time_s: float = 0.0
    version: int = 0
    rounds: int = 0
    sent_in_round: int = 0
    remembered: Remembered = None
    aggregated: list[int] = field(default_factory=list)
    latest: dict[int, int] = field(default_factory=dict)


class View:
    """The read-only face of the server.

    Attributes:
        roster: standing facts of the fleet.
        devices: size of the fleet.
    """

    def __init__(
        self,
        roster: Roster,
        presence: Presence,
        dispatch_limit: int | None,
        progress: Progress,
        visits: Visits,
        rows: DispatchRows,
        selector: Selector,
        learner: Learner,
        streams: Streams,
    ) -> None:
        self.roster = roster
        self.devices = len(roster)
        self._presence = presence
        self._dispatch_limit = dispatch_limit
        self._progress = progress
        self._visits = visits
        self._rows = rows
        self._selector = selector
        self._learner = learner
        self._streams = streams
        self._among: Subset | None = None

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
        return None if self._dispatch_limit is None else self._dispatch_limit - len(self._visits.tags)

    @property
    def sent(self) -> int:
        """How many dispatches were sent so far."""
        return len(self._visits)

    @property
    def history(self) -> Sequence[int]:
        """Dispatches whose updates were merged, in the order in which they were."""
        return self._progress.aggregated

    @property
    def latest(self) -> Mapping[int, int]:
        """Of each device in `history`, the latest dispatch there, in the order of their first."""
        return self._progress.latest

    def tag(self, dispatch: int) -> Tag:
        """The tag under which a dispatch was sent."""
        return self._visits.tags[dispatch]

    def device(self, dispatch: int) -> int:
        """The device that a dispatch was sent to."""
        return self._rows.device[dispatch]

    def staleness(self, dispatch: int) -> int:
        """How many versions the model is ahead of the one that a dispatch took out."""
        return self.version - self._rows.base_version[dispatch]

    def merged_into(self, dispatch: int) -> int:
        """The version that the update of a dispatch in `history` helped to make."""
        return self._rows.base_version[dispatch] + self._rows.staleness[dispatch] + 1

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

    def free(self, devices: Sequence[int] | None = None) -> list[int]:
        """Those of these devices, or of all, that are idle and present, in the same order."""
        if devices is None:
            devices = range(self.devices) if self._among is None else self._among.devices.tolist()
        elif self._among is not None:
            devices = [device for device in devices if self._among.mask[device]]
        busy = self._visits.busy
        idle = [device for device in devices if device not in busy]
        if self._presence.always or not idle:
            return idle
        there = self._presence.present(np.array(idle, dtype=np.int64), self.time_s)
        return [device for device, is_there in zip(idle, there.tolist(), strict=True) if is_there]

    def next_presence_s(self, among: Subset | None = None) -> float:
        """The earliest time from now on at which an idle device is present; infinite for never."""
        idle = np.ones(self.devices, dtype=bool) if among is None else among.mask.copy()
        idle[list(self._visits.busy)] = False
        return self._presence.first_s(np.flatnonzero(idle), self.time_s)

    def select(self, k: int, among: Subset | None = None) -> list[int]:
        """Whom the selector sends out if asked for `k` of these devices, within the limit on dispatches."""
        remaining = self.remaining_dispatches
        if remaining is not None and remaining < k:
            k = remaining
        if k <= 0 or not self.idle:
            return []
        view = self if among is None else self._within(among)
        return list(self._selector.pick(k, view))[:remaining]

    def draw(self, k: int, *key: int, among: Subset | None = None, without: Container[int] = ()) -> list[int]:
        """Up to `k` distinct devices that are idle and present, uniformly; all of them where there are fewer.

        The same ones until something is dispatched or decided. The draw is named by the round and by how many
        were sent in it, so that variants whose rounds are alike draw alike.

        Args:
            k: how many.
            key: tells draws of one decision apart.
            among: which devices may be drawn; all where absent.
            without: which of them may not.
        """
        among = self._among if among is None else among
        moment, k = (*self._moment, *key), min(k, self.idle)
        if among is None and not without:
            return draw_distinct(self._streams, moment, k, self.devices, self.free)

        def accepted(places: list[int]) -> list[int]:
            devices = places if among is None else among.devices[places].tolist()
            return self.free([device for device in devices if device not in without])

        size = self.devices if among is None else len(among)
        return draw_distinct(self._streams, moment, k, size, accepted)

    def draw_by_samples(self, k: int) -> list[int]:
        """Up to `k` distinct devices that are idle and present, one after the other in proportion to samples.

        The same ones until something is dispatched or decided.
        """
        samples = self.roster.samples
        return draw_in_proportion(
            self._streams, self._moment, k, samples, samples_up_to(self.roster), self.free
        )

    def uniform(self, purpose: str, numbers: ArrayLike = 0) -> NDArray[np.float64]:
        """A random number strictly between 0 and 1 for each of these numbers (of devices, say).

        The same ones until something is dispatched or decided.
        """
        return self._streams.uniform(purpose, *self._moment, numbers)

    def _within(self, among: Subset) -> View:
        """The same view with nobody free but these."""
        view = copy.copy(self)
        view._among = among
        return view

    @property
    def _moment(self) -> tuple[int, int]:
        return self._progress.rounds, self._progress.sent_in_round
