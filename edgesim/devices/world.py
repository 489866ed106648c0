"""Everything about the devices of a run that time depends on, drawn from one scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.battery import Batteries
from edgesim.devices.cost import CostModel
from edgesim.devices.failures import Failures
from edgesim.devices.faults import AnyFault, Faults
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.network import ServerLinks
from edgesim.devices.presence import Presence
from edgesim.devices.profile import Catalogue
from edgesim.devices.topology import Topology
from edgesim.rng import Streams


@dataclass(frozen=True, eq=False)
class World:
    """The timing half's surroundings of a federation.

    Attributes:
        cost: what visits ask of the devices, and the fleet itself.
        presence: when devices are there.
        topology: which links they share.
        failures: which visits fail.
        faults: what breaks.
        batteries: what devices run on; null where all are plugged in.
    """

    cost: CostModel
    presence: Presence
    topology: Topology
    failures: Failures
    faults: Faults
    batteries: Batteries | None

    @classmethod
    def draw(
        cls,
        groups: Sequence[FleetGroup],
        server: ServerLinks,
        faults: Sequence[AnyFault],
        catalogue: Catalogue,
        streams: Streams,
        *,
        timed: bool = False,
    ) -> Self:
        """The world of a scenario.

        Args:
            groups: its fleet.
            server: the server's own links.
            faults: what breaks.
            catalogue: where profiles and networks are found.
            streams: of the seed of timing.
            timed: whether what was timed on a device takes the place of analytic seconds.

        Raises:
            InputError: a profile, a network or a file of theirs is missing or wrong.
        """
        drawn = Faults.draw(faults, groups, catalogue, streams)
        fleet = Fleet.draw(groups, catalogue, streams)
        return cls(
            CostModel(fleet, streams, timed),
            Presence.draw(groups, streams, drawn.absences),
            Topology.of(groups, server),
            Failures.draw(groups, streams),
            drawn,
            Batteries.draw(groups, catalogue, fleet, streams),
        )

    def failure_s(self, devices: NDArray[np.int64], visits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds of work after which each visit fails; infinite where it does not, [n]."""
        return self.failures.failure_after_s(devices, visits)

    def corrupted(self, devices: NDArray[np.int64], visits: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each visit's update arrives corrupted, [n]."""
        return self.faults.corrupted(devices, visits)

    @property
    def ever(self) -> bool:
        """Whether a visit ever fails or is corrupted."""
        return not self.failures.never or bool(self.faults.corruption.any())
