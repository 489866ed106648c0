"""Another device's limits on this machine: as many cores and as much memory as its profile says.

The seconds are those of this machine's cores, not of the device's. They show how sub-models compare on so few
cores and what fits into so little memory; they are never a measurement of that device, and the timings say so
in their `emulates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError


@dataclass(frozen=True)
class Emulation:
    """How the runner imitates a device.

    Attributes:
        profile: name of the device's profile.
        cores: that the device has.
        affinity: the cores of this machine that stand for them; fewer where this machine has not as many.
        memory_bytes: what the device's operating system leaves, the limit for the data of a graph's process.
    """

    profile: str
    cores: int
    affinity: tuple[int, ...]
    memory_bytes: int

    @property
    def is_short(self) -> bool:
        """Whether this machine has fewer cores to give than the device has."""
        return len(self.affinity) < self.cores

    def arguments(self) -> list[str]:
        """The runner's options."""
        cores = ",".join(map(str, self.affinity))
        threads, limit = str(len(self.affinity)), str(self.memory_bytes)
        return ["--cores", cores, "--threads", threads, "--memory-limit", limit]

    def record(self) -> dict[str, Any]:
        """What the timings say of it, for JSON."""
        return {**asdict(self), "affinity": list(self.affinity)}


def emulation(name: str, catalogue: Catalogue, allowed: Sequence[int]) -> Emulation:
    """The emulation of a device on this machine.

    Args:
        name: of its profile.
        catalogue: where profiles are found.
        allowed: the cores of this machine that may be used.

    Raises:
        InputError: there is no such profile, or it does not say how many cores the device has.
    """
    profile = catalogue.load(name)
    if profile.cores is None:
        remedy = "choose another, or write a profile with cores:"
        raise InputError(
            f'the profile "{name}" ({profile.kind}) names no cores: it cannot be emulated; {remedy}'
        )
    cores = profile.cores.value
    return Emulation(name, cores, tuple(allowed[:cores]), int(profile.memory.low))
