"""Quantities with units: `20 Mbit/s` in a file, bits per second inside."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from edgesim.units import Quantity

SECONDS = Quantity("s", "30 s")
RATE = Quantity("bit/s", "20 Mbit/s", zero=False)
BYTES = Quantity("B", "4 GiB", zero=False)
POWER = Quantity("W", "6.4 W")
FLOPS = Quantity("FLOP/s", "5 GFLOP/s", zero=False)

floats = st.floats(min_value=0, allow_infinity=False, exclude_min=True)


def refusal(quantity: Quantity, given: object) -> str:
    with pytest.raises(PydanticCustomError) as caught:
        quantity.parse(given)
    return caught.value.message()


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (SECONDS, "30 s", 30.0),
        (SECONDS, "30s", 30.0),
        (SECONDS, "  0.5   min ", 30.0),
        (SECONDS, "2 h", 7200.0),
        (SECONDS, "2 hours", 7200.0),
        (SECONDS, "1 day", 86400.0),
        (SECONDS, "44.5 ms", 0.0445),
        (SECONDS, "1e3 us", 1e-3),
        (SECONDS, ".5 s", 0.5),
        (SECONDS, "+5. s", 5.0),
        (SECONDS, "0 s", 0.0),
        (RATE, "20 Mbit/s", 20e6),
        (RATE, "20 Mbits/s", 20e6),
        (RATE, "20 Mbit / s", 20e6),
        (RATE, "20 kbit/ms", 20e6),
        (RATE, "1 MB/s", 8e6),
        (RATE, "1 MiB/s", 8 * 2**20),
        (BYTES, "1 MB", 1e6),
        (BYTES, "1 MiB", 2**20),
        (BYTES, "4 GiB", 2**32),
        (BYTES, "8 Mbit", 1e6),
        (POWER, "2 J/s", 2.0),
        (POWER, "1 kW", 1e3),
        (POWER, "1 Wh/h", 1.0),
        (FLOPS, "5 GFLOP/s", 5e9),
    ],
)
def test_a_quantity_is_held_in_its_base_unit(quantity: Quantity, text: str, value: float) -> None:
    assert quantity.parse(text) == pytest.approx(value, rel=1e-15)


def test_a_megabyte_is_eight_megabits() -> None:
    assert RATE.parse("3 MB/s") == 8 * RATE.parse("3 Mbit/s")


@given(floats, st.sampled_from([SECONDS, RATE, BYTES, POWER, FLOPS]))
@settings(deadline=None)
def test_what_is_shown_is_parsed_as_the_same_number(value: float, quantity: Quantity) -> None:
    assert quantity.parse(quantity.show(value)) == value


@given(floats, st.sampled_from(["s", "min", "h", "ms", "day"]))
@settings(deadline=None)
def test_a_number_is_scaled_by_its_unit(number: float, unit: str) -> None:
    value = number * SECONDS.parse(f"1 {unit}")
    if math.isfinite(value):
        assert SECONDS.parse(f"{number!r} {unit}") == value


@pytest.mark.parametrize(
    ("quantity", "given", "message"),
    [
        (RATE, "5 s", '"5 s" has the wrong dimension; wanted is one like 20 Mbit/s'),
        (RATE, "5 MHz", 'unknown unit "MHz" in "5 MHz" (as in 20 Mbit/s)'),
        (BYTES, "5 Mbit/s", '"5 Mbit/s" has the wrong dimension; wanted is one like 4 GiB'),
        (SECONDS, "5 s/s", '"5 s/s" has the wrong dimension; wanted is one like 30 s'),
        (RATE, "5 mbit/s", 'unknown unit "mbit" in "5 mbit/s"; did you mean "Mbit"? (as in 20 Mbit/s)'),
        (RATE, "5 Mb/s", 'unknown unit "Mb" in "5 Mb/s"; did you mean "Mbit"? (as in 20 Mbit/s)'),
        (RATE, "5 Mbps", 'unknown unit "Mbps" in "5 Mbps"; did you mean "Mbit/s"? (as in 20 Mbit/s)'),
        (BYTES, "5 gb", 'unknown unit "gb" in "5 gb"; did you mean "GB"? (as in 4 GiB)'),
        (BYTES, "5 Gib", 'unknown unit "Gib" in "5 Gib"; did you mean "GiB"? (as in 4 GiB)'),
        (FLOPS, "5 GFLOPS", 'unknown unit "GFLOPS" in "5 GFLOPS"; did you mean "GFLOP/s"? (as in 5 GFLOP/s)'),
        (SECONDS, "5 secs", 'unknown unit "secs" in "5 secs"; did you mean "second"? (as in 30 s)'),
        (SECONDS, "5 nan", 'unknown unit "nan" in "5 nan" (as in 30 s)'),
        (SECONDS, "5 ns s", 'must be a number and a unit, as in 30 s; got "5 ns s"'),
        (SECONDS, "5 s s", 'must be a number and a unit, as in 30 s; got "5 s s"'),
        (RATE, "5 bit/s/s", 'must be a number and a unit, as in 20 Mbit/s; got "5 bit/s/s"'),
        (SECONDS, "5 s*s", 'must be a number and a unit, as in 30 s; got "5 s*s"'),
        (SECONDS, "5 s**2", 'must be a number and a unit, as in 30 s; got "5 s**2"'),
        (SECONDS, "1 + 1 s", 'must be a number and a unit, as in 30 s; got "1 + 1 s"'),
        (SECONDS, "s", 'must be a number and a unit, as in 30 s; got "s"'),
        (SECONDS, "", 'must be a number and a unit, as in 30 s; got ""'),
        (SECONDS, "5", 'must be a number and a unit, as in 30 s; got "5"'),
        (SECONDS, "nan s", 'must be a number and a unit, as in 30 s; got "nan s"'),
        (SECONDS, "inf s", 'must be a number and a unit, as in 30 s; got "inf s"'),
        (SECONDS, "1_000 s", 'must be a number and a unit, as in 30 s; got "1_000 s"'),
        (SECONDS, "5 µs", 'must be a number and a unit, as in 30 s; got "5 µs"'),
        (SECONDS, "\u0665 s", 'must be a number and a unit, as in 30 s; got "\u0665 s"'),
        (SECONDS, "1e999 s", 'must be finite and zero or more, got "1e999 s"'),
        (SECONDS, "1e308 day", 'must be finite and zero or more, got "1e308 day"'),
        (SECONDS, "-5 s", 'must be finite and zero or more, got "-5 s"'),
        (RATE, "-5 bit/s", 'must be finite and more than zero, got "-5 bit/s"'),
        (RATE, "0 bit/s", 'must be finite and more than zero, got "0 bit/s"'),
        (RATE, "1e-999 bit/s", 'must be finite and more than zero, got "1e-999 bit/s"'),
        (SECONDS, 5, "needs a unit, as in 30 s; got the bare number 5"),
        (SECONDS, 0, "needs a unit, as in 30 s; got the bare number 0"),
        (SECONDS, 2.5, "needs a unit, as in 30 s; got the bare number 2.5"),
        (SECONDS, True, "must be a quantity such as 30 s, got true"),
        (SECONDS, None, "must be a quantity such as 30 s, got null"),
        (SECONDS, ["5 s"], 'must be a quantity such as 30 s, got ["5 s"]'),
        (SECONDS, "9" * 400 + " s", 'must be finite and zero or more, got "' + "9" * 56 + "..."),
    ],
)
def test_what_is_no_such_quantity_is_refused(quantity: Quantity, given: object, message: str) -> None:
    assert refusal(quantity, given) == message


@given(st.text(max_size=12) | st.text(alphabet="bBikMGmsnpeckdhayt/ 15.e-", max_size=10))
@settings(deadline=None)
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for quantity in (SECONDS, RATE):
        with contextlib.suppress(PydanticCustomError):
            assert math.isfinite(quantity.parse(text))
