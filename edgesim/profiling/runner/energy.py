"""Joules, where the machine counts them: Intel's and AMD's RAPL, or a file with the power of the board.

Both count what the whole package or board draws, at rest as well.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

from edgesim.profiling.runner import host

LEAST_S = 1.0  # a series whose energy is counted lasts at least this long
SAMPLE_INTERVAL_S = 0.05
MICRO = 1e-6


class Meter(Protocol):
    """Counts energy from `start` to `stop`."""

    def start(self) -> None:
        """Begin to count."""

    def stop(self) -> float | None:
        """Joules since the start; None if a reading failed."""


class Rapl:
    """Counters of all processor packages (`energy_uj`, Linux power capping framework).

    Args:
        folders: of the packages.
    """

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._before: list[float | None] = []

    def start(self) -> None:
        """Begin to count."""
        self._before = [host.number(folder, "energy_uj") for folder in self._folders]

    def stop(self) -> float | None:
        """Joules since the start; a counter may have started anew once."""
        joules = 0.0
        for folder, before in zip(self._folders, self._before):
            after, top = host.number(folder, "energy_uj"), host.number(folder, "max_energy_range_uj")
            if before is None or after is None or (after < before and top is None):
                return None
            joules += MICRO * (after - before + (top or 0.0) * (after < before))
        return joules


class PowerFile:
    """A file with microwatts, as `power1_input` of hwmon: joules are the mean of samples times the seconds.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._watts: list[float | None] = []
        self._begin_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._begin_s = time.monotonic()
        self._thread.start()

    def stop(self) -> float | None:
        """Joules since the start; None if a reading failed."""
        elapsed_s = time.monotonic() - self._begin_s
        self._ended.set()
        self._thread.join()
        watts = [sample for sample in self._watts if sample is not None]
        return sum(watts) / len(watts) * elapsed_s if len(watts) == len(self._watts) else None

    def _sample(self) -> None:
        while True:
            microwatts = host.number(*os.path.split(self._path))
            self._watts.append(None if microwatts is None else MICRO * microwatts)
            if self._ended.wait(SAMPLE_INTERVAL_S):
                return


def find(power_file: str | None, root: str = "/") -> Meter | None:
    """The power file if one is given, else RAPL where it can be read, else nothing."""
    if power_file is not None:
        return PowerFile(power_file)
    names = host.folders(root, "sys/class/powercap", r"intel-rapl:\d+")
    packages = [os.path.join(root, name) for name in names]
    readable = [host.number(each, "energy_uj") is not None for each in packages]
    return Rapl(packages) if packages and all(readable) else None
