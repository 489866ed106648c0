"""Quantities as people read them."""

from __future__ import annotations

import math

import pytest

from edgesim.reports import _format


@pytest.mark.parametrize(
    ("value_s", "shown"),
    [
        (None, "-"),
        (math.inf, "never"),
        (0.0, "0 s"),
        (0.0042, "4.2 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (92.0, "1 min 32 s"),
        (119.6, "2 min"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (5400.0, "1 h 30 min"),
        (86399.0, "1 d"),
        (270000.0, "3 d 3 h"),
    ],
)
def test_seconds(value_s: float | None, shown: str) -> None:
    assert _format.seconds(value_s) == shown


@pytest.mark.parametrize(
    ("value_bytes", "shown"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (12_345_678, "12.3 MB"), (4e21, "4e+03 EB")],
)
def test_bytes_have_decimal_prefixes(value_bytes: float | None, shown: str) -> None:
    assert _format.size(value_bytes) == shown


def test_rates_links_and_powers_have_their_units() -> None:
    assert [_format.rate(value) for value in (None, 2.8e7, 1.86e12)] == ["-", "28 MFLOP/s", "1.86 TFLOP/s"]
    assert [_format.link_rate(value) for value in (None, 8.9e5, 1.176e8)] == ["-", "890 kbit/s", "118 Mbit/s"]
    assert [_format.power(value) for value in (None, 0.05, 46.7)] == ["-", "0.05 W", "46.7 W"]


def test_unknown_energy_is_a_dash_and_not_zero() -> None:
    assert [_format.energy(value) for value in (None, 0.0, 4560.0)] == ["-", "0 J", "4.56 kJ"]


def test_shares_ratios_and_counts() -> None:
    assert [_format.fraction(value) for value in (None, 0.8123)] == ["-", "81.2 %"]
    assert [_format.factor(value) for value in (None, 1.0, 1.8437)] == ["-", "1x", "1.84x"]
    assert [_format.count(value) for value in (None, 12, 12.5)] == ["-", "12", "12.5"]
