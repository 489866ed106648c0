"""What the machine tells about itself; `None` where it does not tell. Places are those of Linux."""

from __future__ import annotations

import os
import platform
import re
from typing import Any

KIBIBYTE = 1024


def describe(root: str = "/") -> dict[str, Any]:
    """The machine: names of system, processor and board, cores, memory."""
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu(root),
        "board": _text(root, "proc/device-tree/model"),
        "cores": os.cpu_count(),
        "memory_bytes": _kibibytes(_text(root, "proc/meminfo"), "MemTotal"),
    }


def conditions(core: int, root: str = "/") -> dict[str, Any]:
    """What a timing depends on at this moment.

    Args:
        core: whose governor and clock are read.
        root: where the file system begins.

    Returns:
        governor; frequency_hz of the clock; temperature_c of the hottest thermal zone; load (processes that
        run or wait, mean over the last minute).
    """
    clock = f"sys/devices/system/cpu/cpu{core}/cpufreq"
    kilohertz = number(root, f"{clock}/scaling_cur_freq")
    load = (_text(root, "proc/loadavg") or "").split()
    return {
        "governor": _text(root, f"{clock}/scaling_governor"),
        "frequency_hz": None if kilohertz is None else 1e3 * kilohertz,
        "temperature_c": _hottest(root),
        "load": float(load[0]) if load else None,
    }


def peak_bytes(root: str = "/") -> int | None:
    """The most memory that this process has had resident so far."""
    return _kibibytes(_text(root, "proc/self/status"), "VmHWM")


def cores() -> list[int]:
    """The cores that this process may run on; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def folders(root: str, parent: str, pattern: str) -> list[str]:
    """Entries of a folder of the system whose names have this pattern, sorted; none if it is not there."""
    try:
        names = os.listdir(os.path.join(root, parent))
    except OSError:
        return []
    return [f"{parent}/{name}" for name in sorted(names) if re.fullmatch(pattern, name)]


def number(root: str, name: str) -> float | None:
    """The whole number that a file of the system holds; None if there is none or it may not be read."""
    text = _text(root, name)
    return float(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def _cpu(root: str) -> str | None:
    return _field(_text(root, "proc/cpuinfo"), "model name") or platform.processor() or None


def _hottest(root: str) -> float | None:
    zones = folders(root, "sys/class/thermal", r"thermal_zone\d+")
    found = [number(root, f"{zone}/temp") for zone in zones]
    return max((value / 1e3 for value in found if value is not None), default=None)


def _kibibytes(text: str | None, name: str) -> int | None:
    found = _field(text, name)
    return None if found is None else int(found.split()[0]) * KIBIBYTE


def _field(text: str | None, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text or "", re.MULTILINE)
    return found.group(1).strip() if found else None


def _text(root: str, name: str) -> str | None:
    try:
        with open(os.path.join(root, name), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\0 \n") or None
    except OSError:
        return None
