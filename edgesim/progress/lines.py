"""A run as plain lines, for pipes and the logs of a CI."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edgesim.progress import figures
from edgesim.progress.moment import Moment, results
from edgesim.progress.watch import SINGLY

ROUNDS_EVERY_S, RUNS_EVERY_S = 1.0, 10.0
"""Host seconds between two lines of a run: where it is the only one, and where it is one of many."""


class Lines:
    """Says of every round how many results it had and how many failures, and why.

    Where rounds follow on each other too soon for that, a line tells of all those since the line before, so
    that no failure goes untold.

    Args:
        label: of the run; lines begin with it where runs are told apart.
        apart: whether they are: there are several.
        write: takes a line.
        now: host seconds.
    """

    by_rounds = True

    def __init__(
        self,
        label: str,
        *,
        apart: bool,
        write: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._head = f"{label}: " if apart else ""
        self._singly = 0 if apart else SINGLY
        self._interval_s = RUNS_EVERY_S if apart else ROUNDS_EVERY_S
        self._write = write
        self._now = now
        self._last_s = now()
        self._rounds = 0
        self._outcomes: Mapping[str, int] = {}
        self._over = False

    def follow(self, moment: Moment) -> None:
        """The run has come to this; what another process says after the end comes too late."""
        if self._over:
            return
        over = moment.rounds > self._rounds
        due = moment.rounds <= self._singly or self._now() - self._last_s >= self._interval_s
        if (over and due) or (moment.ended and self._since(moment)):
            self._write(f"{self._head}{self._line(moment)}")
            self._last_s, self._rounds, self._outcomes = self._now(), moment.rounds, moment.outcomes

    def finish(self, text: str) -> None:
        """The run has ended like this."""
        self._over = True
        self._write(f"{self._label}: {text}")

    def _line(self, moment: Moment) -> str:
        first = self._rounds + 1
        name = f"rounds {first}-{moment.rounds}" if first < moment.rounds else f"round {first}"
        name += " (cut off)" if moment.rounds < first else ""
        told = [name, f"t={figures.clock(moment.time_s)}", results(self._since(moment))]
        return "  ".join((*told, *figures.headline(moment)))

    def _since(self, moment: Moment) -> dict[str, int]:
        """Visits by outcome since the line before."""
        before = self._outcomes
        return {
            name: count - before.get(name, 0)
            for name, count in moment.outcomes.items()
            if count > before.get(name, 0)
        }
