"""Quantities as people read them; a dash where a number is not known."""

from __future__ import annotations

import math

UNKNOWN = "-"

_DECIMAL = ("", "k", "M", "G", "T", "P", "E")


def seconds(value_s: float | None) -> str:
    """Seconds, from `4.2 ms` to `3 d 4 h`; `never` where infinite."""
    if value_s is None:
        return UNKNOWN
    if math.isinf(value_s):
        return "never"
    if 0 < value_s < 0.9995:
        return f"{value_s * 1e3:.3g} ms"
    if value_s < 59.95:
        return f"{value_s:.3g} s"
    return _clock(value_s)


def _clock(value_s: float) -> str:
    """The two largest units that apply."""
    whole = round(value_s)
    if whole < 3600:
        return _pair(whole // 60, "min", whole % 60, "s")
    minutes = round(value_s / 60)
    if minutes < 24 * 60:
        return _pair(minutes // 60, "h", minutes % 60, "min")
    hours = round(value_s / 3600)
    return _pair(hours // 24, "d", hours % 24, "h")


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def size(value_bytes: float | None) -> str:
    """Bytes in decimal units, as links are sold: `12.3 MB`."""
    return _scaled(value_bytes, "B")


def rate(value_flops: float | None) -> str:
    """Floating-point operations per second: `36.4 GFLOP/s`."""
    return _scaled(value_flops, "FLOP/s")


def link_rate(value_bps: float | None) -> str:
    """Bits per second: `118 Mbit/s`."""
    return _scaled(value_bps, "bit/s")


def power(value_w: float | None) -> str:
    """Watts: `4.5 W`."""
    return _scaled(value_w, "W")


def energy(value_j: float | None) -> str:
    """Joules: `4.56 kJ`."""
    return _scaled(value_j, "J")


def fraction(value: float | None) -> str:
    """A share as per cent: `81.2 %`."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def factor(value: float | None) -> str:
    """A ratio: `1.84x`."""
    return UNKNOWN if value is None else f"{value:.3g}x"


def number(value: float | None) -> str:
    """A number without a unit: `0.0123`."""
    return UNKNOWN if value is None else f"{value:.3g}"


def count(value: float | None) -> str:
    """A number of things; medians may lie halfway between two."""
    return UNKNOWN if value is None else f"{value:g}"


def _scaled(value: float | None, unit: str) -> str:
    """Three digits and a decimal prefix."""
    if value is None:
        return UNKNOWN
    step = 0
    while abs(value) >= 999.5 and step < len(_DECIMAL) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_DECIMAL[step]}{unit}"
