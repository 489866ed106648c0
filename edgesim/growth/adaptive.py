"""Growth where accuracy stands still: gradual model restoration (FedGMR, arXiv 2512.05372).

    K_rest       `every`
    patience_i   `patience`
    P_min        `state.floor`
    best_i       `detector.best`

Every K_rest versions each device's last trained sub-model is evaluated, and their plain weighted average
(index 0). A sub-model that stands still grows by a rung; where the average does, the floor under all of them
does (algorithms 3.7 (6), details in 7b). The release reads the test set for that; this rule reads a
validation split unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.growth._growth import Climbing, Grown, Seen, State, Step, Wanted
from edgesim.papers import FEDGMR
from edgesim.registry import component
from edgesim.yaml_source import Count

_SLOW = 5  # times the interval, once the floor has reached the top
_LONGEST_PATIENCE = 50  # of the last plateau, likewise


@dataclass(frozen=True, slots=True)
class Detector:
    """Whether an accuracy stands still.

    Attributes:
        best: so far, from the last reset.
        counter: evaluations since then that were not above it.
        blocked: evaluations to come that do not count.
    """

    best: float = 0.0
    counter: int = 0
    blocked: int = 0

    def after(self, accuracy: float) -> Detector:
        """The detector after one more evaluation."""
        if self.blocked:
            return replace(self, blocked=self.blocked - 1)
        if accuracy <= self.best:
            return replace(self, counter=self.counter + 1)
        return Detector(best=accuracy)

    def is_plateau(self, patience: int) -> bool:
        """Whether it has stood still for long enough."""
        return self.counter >= patience

    def reset(self, blocked: int | None = None) -> Detector:
        """As at the beginning, and blocked for so many evaluations; for as long as it was where absent."""
        return Detector(blocked=self.blocked if blocked is None else blocked)


@dataclass(frozen=True, kw_only=True)
class Watch(State):
    """The floor and the detectors.

    Attributes:
        whole: of the average.
        clients: of each device that was evaluated.
        armed: whether the average has stood still once.
    """

    whole: Detector = Detector()
    clients: Mapping[int, Detector] = field(default_factory=dict)
    armed: bool = False


@component
class Adaptive(Climbing):
    """A sub-model grows where its accuracy stands still, and the floor where that of their average does.

    Attributes:
        patience: evaluations without a new best that make a plateau.
        every: versions between evaluations; five times as many once the floor is at the top.
        data: what accuracy is measured on: samples held out from training (`dataset.validation`), or, as in
            FedGMR's release, the test set.
    """

    papers = (FEDGMR,)
    needs_accuracy: ClassVar[bool] = True

    patience: Count = 5
    every: Count = 25
    data: Literal["validation", "test"] = "validation"

    @property
    def split(self) -> Literal["validation", "test"]:
        """The samples that accuracies are of."""
        return self.data

    def begin(self, ladder: tuple[float, ...], capacity: NDArray[np.float64]) -> Step:
        """The floor is the smallest capacity, and nothing has been seen."""
        state = Watch(ladder=ladder, floor=float(capacity.min()))
        return Step(state, wanted=self._next(state, 0))

    def step(self, state: Watch, seen: Seen) -> Step:
        """Evaluated devices first, then the average."""
        assert seen.average is not None
        capacity = seen.capacity.copy()
        state, grown = self._of_clients(state, seen, capacity)
        state = replace(state, whole=state.whole.after(seen.average))
        finished = False
        if state.whole.is_plateau(self._patience(state)):
            finished = state.armed and state.floor >= state.top
            state, lifted = self._of_average(state, capacity)
            grown += lifted
        return Step(state, grown, self._next(state, seen.version), finished)

    def _of_clients(
        self, state: Watch, seen: Seen, capacity: NDArray[np.float64]
    ) -> tuple[Watch, list[Grown]]:
        """Each plateau of a device raises it by a rung; `capacity` is raised along."""
        clients, grown = dict(state.clients), []
        for device, accuracy in sorted(seen.clients.items()):
            if capacity[device] >= state.top:
                continue
            detector = clients.get(device, Detector()).after(accuracy)
            if detector.is_plateau(self.patience):
                capacity[device] = state.next_rung(capacity[device])
                grown.append(Grown(device, float(capacity[device]), "client"))
                detector = detector.reset(2 * self.patience)
                state = replace(state, whole=state.whole.reset())
            clients[device] = detector
        return replace(state, clients=clients), grown

    def _of_average(self, state: Watch, capacity: NDArray[np.float64]) -> tuple[Watch, list[Grown]]:
        """The first plateau arms, which resets nothing; each further one raises the floor by a rung."""
        if not state.armed:
            return replace(state, armed=True), []
        floor = state.next_rung(state.floor)
        grown = state.lifted(capacity, floor, "floor")
        capacity[:] = np.maximum(capacity, floor)
        raised = replace(
            state,
            floor=floor,
            whole=state.whole.reset(self.patience),
            clients={device: detector.reset() for device, detector in state.clients.items()},
        )
        return raised, grown

    def _patience(self, state: Watch) -> int:
        """patience_0, which is longer once the floor has reached the top."""
        return min(_SLOW * self.patience, _LONGEST_PATIENCE) if state.floor >= state.top else self.patience

    def _next(self, state: Watch, version: int) -> Wanted:
        """The next refresh round; devices that hold all there is are not evaluated."""
        interval = _SLOW * self.every if state.floor >= state.top else self.every
        return Wanted(version + interval, state.top)
