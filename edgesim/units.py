"""Quantities: numbers that a file writes with their unit (`20 Mbit/s`) and that we hold in the base unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from edgesim.errors import did_you_mean, show_value

if TYPE_CHECKING:
    import pint

NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_UNIT = r"(?:[A-Za-z]+(?:\s*/\s*[A-Za-z]+)?|/\s*[A-Za-z]+)"
_QUANTITY = re.compile(rf"\s*({NUMBER})\s*({_UNIT})\s*")


def _definitions() -> list[str]:
    """The units that edgesim knows, as pint reads them.

    Bits and operations have dimensions of their own, so that MHz is no rate. Prefixes are spelt out per unit:
    with pint's own, `mbit/s` would be millibits.
    """
    lines = ["second = [time] = s", "minute = 60 * second = min", "hour = 3600 * second = h"]
    lines += ["day = 86400 * second = d", "ms = 1e-3 * second", "us = 1e-6 * second", "ns = 1e-9 * second"]
    lines += ["bit = [information]", "byte = 8 * bit = B", "flop = [computation] = FLOP"]
    lines += ["joule = [energy] = J", "watt = joule / second = W", "mJ = 1e-3 * joule", "mW = 1e-3 * watt"]
    lines += ["uJ = 1e-6 * joule", "nJ = 1e-9 * joule"]
    lines += ["Wh = 3600 * joule", "kJ = 1e3 * joule", "kW = 1e3 * watt", "uW = 1e-6 * watt"]
    for prefix, power in (("k", 3), ("M", 6), ("G", 9), ("T", 12)):
        lines += [f"{prefix}bit = 1e{power} * bit", f"{prefix}B = 1e{power} * byte"]
        lines += [f"{prefix}FLOP = 1e{power} * flop"]
    for prefix, power in (("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)):
        lines += [f"{prefix}bit = {2**power} * bit", f"{prefix}B = {2**power} * byte"]
    return lines


@cache
def _names() -> frozenset[str]:
    return frozenset(name.strip() for line in _definitions() for name in line.split("=")[::2])


@cache
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(None)
    registry.load_definitions(_definitions())
    return registry


@cache
def _factor(unit: str, base: str) -> float:
    """What a number in a unit is multiplied by to be in the base unit."""
    given, wanted = (f"1{name}" if name.startswith("/") else name for name in (unit, base))
    return float(_registry().Quantity(1.0, given).to(wanted).magnitude)


def _singular(part: str) -> str:
    """`hours` and `Mbits` are words; the s of `ms` is a unit."""
    singular = part.removesuffix("s")
    return singular if len(singular) > 2 and singular in _names() else part


def _nearest(unknown: str, base: str) -> str:
    """A hint for an unknown unit. `Mb` is near to `MB` in letters only, and a factor of eight off."""
    if base == "bit/s":
        unknown = re.sub("b$", "bit", unknown.replace("bps", "bit/s"))
    rates = (f"{name}/s" for name in _names() if name.endswith(("bit", "FLOP")))
    return did_you_mean(unknown, sorted([*_names(), *rates]))


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a float that is written with its unit and held in the base unit.

    Attributes:
        base: the base unit, as in `bit/s`.
        example: how a user writes one.
        zero: whether zero is accepted.
    """

    base: str
    example: str
    zero: bool = True

    def parse(self, given: Any) -> float:
        """The quantity in base units.

        Raises:
            PydanticCustomError: not a finite, non-negative number with a unit of the right dimension.
        """
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise _refused(f"must be a quantity such as {self.example}, got {show_value(given)}")
        if not isinstance(given, str):
            raise _refused(f"needs a unit, as in {self.example}; got the bare number {given}")
        match = _QUANTITY.fullmatch(given)
        if match is None:
            raise _refused(f"must be a number and a unit, as in {self.example}; got {show_value(given)}")
        value = float(match[1]) * self._factor("".join(match[2].split()), given)
        if not math.isfinite(value) or value < 0 or (value == 0 and not self.zero):
            wanted = "zero or more" if self.zero else "more than zero"
            raise _refused(f"must be finite and {wanted}, got {show_value(given)}")
        return value

    def _factor(self, unit: str, given: str) -> float:
        import pint

        parts = [_singular(part) for part in unit.split("/")]
        for part in filter(None, parts):  # nothing stands before the stroke of a frequency
            if part not in _names():
                shown = f'unknown unit "{part}" in {show_value(given)}{_nearest(part, self.base)}'
                raise _refused(f"{shown} (as in {self.example})")
        try:
            return _factor("/".join(parts), self.base)
        except pint.DimensionalityError:
            message = f"{show_value(given)} has the wrong dimension; wanted is one like {self.example}"
            raise _refused(message) from None

    def show(self, value: float) -> str:
        """The quantity as a scenario file writes it, without loss."""
        return f"{value!r} {self.base}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(self.show),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_QUANTITY.pattern}$", "examples": [self.example]}


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("quantity", "{text}", {"text": message})
