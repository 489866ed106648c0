"""One visit that is carried out stage by stage, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING

from edgesim.devices.cost import Demands
from edgesim.devices.energy import stage_j
from edgesim.devices.network import Direction
from edgesim.learner import Order
from edgesim.server.events import VisitReport
from edgesim.simulation.visits import Activity, known

if TYPE_CHECKING:
    from edgesim.simulation.multicast import Stream
    from edgesim.simulation.stages import Stages


class Stage(IntEnum):
    """What a visit is at; the names of its phases in order."""

    DOWNLOAD = 0
    COMPUTE = 1
    UPLOAD = 2


_ACTIVITIES = (Activity.DOWNLOADING, Activity.COMPUTING, Activity.UPLOADING)


class State(Enum):
    """What a visit does at its stage."""

    RUNNING = auto()
    STALLED = auto()  # the transfer stands still
    LISTENING = auto()  # for what is left of a multicast
    PAUSED = auto()  # the device is away
    OVER = auto()


@dataclass(slots=True, eq=False)
class StagedVisit:
    """A visit and how far it is.

    Attributes:
        order: what was asked for.
        latency_s: delay before each transfer.
        bits: of the download and the upload, at the places of their stages.
        bps: rate of the device's own link in either direction.
        nominal_s: seconds of the training at full speed.
        fits: whether the device has the memory for it.
        watts: power in each stage.
        j_per_bit: joules of each bit beyond that, of the download and the upload.
        basis: how its seconds are known.
        failure_s: seconds of work after which it fails; infinite where it does not.
        corrupted: whether its update arrives corrupted.
    """

    order: Order
    latency_s: float
    bits: tuple[float, float, float]
    bps: tuple[float, float, float]
    nominal_s: float
    fits: bool
    watts: tuple[float, float, float]
    j_per_bit: tuple[float, float, float]
    basis: str
    failure_s: float
    corrupted: bool
    owner: Stages
    stage: Stage = Stage.DOWNLOAD
    state: State = State.RUNNING
    delay_s: float = 0.0  # what is left of the stage: first the delay, then bits or nominal seconds
    left: float = 0.0
    since_s: float = 0.0  # since when it runs, stalls or pauses without a change
    stretch_s: float = 0.0  # since when the device is present
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    paused_s: float = 0.0
    paid_j: float = 0.0  # joules that were taken off the battery
    ticket: int = 0  # whatever was scheduled with an older one is void
    stay: int = 0  # the same for what cuts off a device's stay
    stream: Stream | None = None  # that its download comes from

    @property
    def direction(self) -> Direction:
        """Of the transfer that the visit is at."""
        return "down" if self.stage is Stage.DOWNLOAD else "up"

    def activity(self, now_s: float) -> Activity:  # noqa: ARG002
        """What its device does."""
        return Activity.ABSENT if self.state is State.PAUSED else _ACTIVITIES[self.stage]

    def enter(self, stage: Stage) -> None:
        """Begin a stage."""
        self.stage = stage
        transfers = stage is not Stage.COMPUTE
        self.delay_s = self.latency_s if transfers else 0.0
        self.left = self.bits[stage] if transfers else self.nominal_s

    def report_until(self, now_s: float) -> VisitReport:  # noqa: ARG002  (the owner has the clock)
        """What the visit has taken so far; it is carried on no further."""
        self.owner.halt(self)
        return self.report(self.stage)

    def report(self, done: int) -> VisitReport:
        """What the visit has taken, of which so many stages are completed."""
        phases = [seconds if stage < done else None for stage, seconds in enumerate(self.seconds)]
        return VisitReport(phases[0], phases[1], phases[2], known(self.energy_j()), self.basis, self.paused_s)

    def energy_j(self) -> float:
        """Joules so far; NaN where unknown."""
        energy_j = 0.0
        for stage, seconds in enumerate(self.seconds[: self.stage + 1]):
            moved = self.bits[stage] - (self.left if stage == self.stage != Stage.COMPUTE else 0.0)
            energy_j += stage_j(self.watts[stage], self.j_per_bit[stage], seconds, moved)
        return energy_j

    @property
    def most_w(self) -> float:
        """The most power that the present stage can draw."""
        return self.watts[self.stage] + self.j_per_bit[self.stage] * self.bps[self.stage]


def staged(
    order: Order, demand: Demands, basis: str, failure_s: float, corrupted: bool, owner: Stages
) -> StagedVisit:
    """A visit that asks this of its device, as numbers; not begun."""
    return StagedVisit(
        order=order,
        latency_s=float(demand.latency_s),
        bits=(float(demand.bits_down), 0.0, float(demand.bits_up)),
        bps=(float(demand.down_bps), 0.0, float(demand.up_bps)),
        nominal_s=float(demand.nominal_s),
        fits=bool(demand.fits),
        watts=(float(demand.down_w), float(demand.compute_w), float(demand.up_w)),
        j_per_bit=(float(demand.down_j_per_bit), 0.0, float(demand.up_j_per_bit)),
        basis=basis,
        failure_s=failure_s,
        corrupted=corrupted,
        owner=owner,
    )
