"""Distributions that a scenario names: `{dist: lognormal, sigma: 0.5}`.

Eight have friendly names and the usual parameters; every other continuous distribution of scipy.stats goes by
its own name and parameters (`{dist: expon, scale: 2}`). They are drawn by their quantile function from named
uniforms, so a draw belongs to a device and a visit and to nothing else. scipy.stats is slow to import and
waits until it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from edgesim.errors import did_you_mean
from edgesim.yaml_source import Quantity

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen

CONSTANT = "constant"
_EXAMPLE = "{dist: lognormal, sigma: 0.5}"
# Quantile functions are monotone, so what holds at these two holds for every draw. Further out, rounding
# within scipy makes some of them (halfnorm) zero or infinite.
_SMALLEST, _LARGEST = 2.0**-50, 1 - 2.0**-50


@dataclass(frozen=True, slots=True)
class _Family:
    """How one name in YAML maps to scipy.stats.

    Attributes:
        scipy_name: name of the distribution there.
        shapes: parameters without a dimension.
        scales: parameters with the dimension of what is drawn.
        arguments: from our parameters to scipy's.
        defaults: of parameters that may be left out; those of `scales` other than 0 hold only without a unit.
    """

    scipy_name: str
    shapes: tuple[str, ...]
    scales: tuple[str, ...]
    arguments: Callable[..., dict[str, float]] = dict
    defaults: Mapping[str, float] = field(default_factory=dict)


_FAMILIES: dict[str, _Family] = {
    CONSTANT: _Family("", (), ("value",)),
    "lognormal": _Family(
        "lognorm",
        ("sigma",),
        ("median",),
        lambda sigma, median: {"s": sigma, "scale": median},
        {"median": 1.0},
    ),
    "normal": _Family("norm", (), ("mean", "std"), lambda mean, std: {"loc": mean, "scale": std}),
    "exponential": _Family("expon", (), ("mean",), lambda mean: {"scale": mean}),
    "uniform": _Family("uniform", (), ("low", "high"), lambda low, high: {"loc": low, "scale": high - low}),
    "gamma": _Family("gamma", ("shape",), ("scale",), lambda shape, scale: {"a": shape, "scale": scale}),
    "weibull": _Family(
        "weibull_min", ("shape",), ("scale",), lambda shape, scale: {"c": shape, "scale": scale}
    ),
    "pareto": _Family("pareto", ("shape",), ("scale",), lambda shape, scale: {"b": shape, "scale": scale}),
}
_NAMES = tuple(_FAMILIES)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A continuous distribution, or a constant, in base units.

    Attributes:
        dist: its name as a scenario writes it.
        parameters: name and value of every parameter, in the order of the family.
    """

    dist: str
    parameters: tuple[tuple[str, float], ...]

    def quantile(self, u: ArrayLike) -> NDArray[np.float64]:
        """Values at these probabilities, in the shape of `u`; bit-equal for a scalar and within an array.

        Probabilities are kept 2^-50 away from 0 and 1, so that no draw is infinite.
        """
        if self.dist == CONSTANT:
            return np.full(np.shape(u), self.parameters[0][1])
        return np.asarray(_frozen(self).ppf(np.clip(u, _SMALLEST, _LARGEST)), dtype=np.float64)

    def mean(self) -> float:
        """The mean; infinite or not a number where the distribution has none."""
        if self.dist == CONSTANT:
            return self.parameters[0][1]
        return float(_frozen(self).mean())


@lru_cache(maxsize=256)
def _frozen(distribution: Distribution) -> rv_frozen:
    from scipy import stats

    family = _family(distribution.dist)
    return cast(
        "rv_frozen", getattr(stats, family.scipy_name)(**family.arguments(**dict(distribution.parameters)))
    )


@lru_cache(maxsize=256)
def _family(name: str) -> _Family:
    """The family of a name.

    Raises:
        ValueError: no such distribution; the message names the nearest.
    """
    if name in _FAMILIES:
        return _FAMILIES[name]
    from scipy import stats

    continuous = {known: law for known, law in vars(stats).items() if isinstance(law, stats.rv_continuous)}
    if name not in continuous:
        hint = did_you_mean(name, (*_NAMES, *continuous))
        known = ", ".join(_NAMES)
        raise ValueError(f'no distribution "{name}"{hint} ({known}, or any continuous one of scipy.stats)')
    shapes = continuous[name].shapes
    names = tuple(part.strip() for part in shapes.split(",")) if shapes else ()
    return _Family(name, names, ("loc", "scale"), defaults={"loc": 0.0, "scale": 1.0})


def _with_zero(drawn: Drawn) -> Drawn:
    """Where a parameter may be zero, as a location; `_check` sees to it that no draw is."""
    return drawn if drawn.unit is None else Drawn(replace(drawn.unit, zero=True))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Marks a `Distribution` field of YAML; a plain number or quantity there is a constant.

    Attributes:
        unit: of what is drawn; none for a bare multiplier.
    """

    unit: Quantity | None = None

    def parse(self, given: object) -> Distribution:
        """A distribution whose draws are finite and never negative (nor zero where the quantity may not be).

        Raises:
            ValueError: unknown name or parameter, wrong value or unit, or draws outside that range.
        """
        if isinstance(given, Distribution):
            distribution = given
        elif isinstance(given, Mapping):
            distribution = self._from_mapping(given)
        else:
            distribution = Distribution(CONSTANT, (("value", self._number(given, scaled=True)),))
        self._check(distribution)
        return distribution

    def show(self, distribution: Distribution) -> Any:
        """The distribution as a scenario file writes it, without loss."""
        if distribution.dist == CONSTANT:
            return self._show_number(distribution.parameters[0][1])
        scales = _family(distribution.dist).scales
        shown = {
            name: self._show_number(value) if name in scales else value
            for name, value in distribution.parameters
        }
        return {"dist": distribution.dist, **shown}

    def _show_number(self, value: float) -> str | float:
        return value if self.unit is None else self.unit.show(value)

    def _from_mapping(self, given: Mapping[str, object]) -> Distribution:
        name = given.get("dist")
        if not isinstance(name, str):
            raise ValueError(f"needs the name of a distribution, as in {_EXAMPLE}")
        family = _family(name)
        written = {key: value for key, value in given.items() if key != "dist"}
        allowed = (*family.shapes, *family.scales)
        for key in written:
            if key not in allowed:
                hint = did_you_mean(key, allowed)
                raise ValueError(f'{name} has no parameter "{key}"{hint} (it has {", ".join(allowed)})')
        return Distribution(
            name, tuple((key, self._parameter(name, family, key, written)) for key in allowed)
        )

    def _parameter(self, name: str, family: _Family, key: str, written: Mapping[str, object]) -> float:
        scaled = key in family.scales
        if key in written:
            try:
                return _with_zero(self)._number(written[key], scaled=scaled)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
        default = family.defaults.get(key)
        if default is None or (scaled and default != 0 and self.unit is not None):
            raise ValueError(f"{name} needs {key}")
        return default

    def _number(self, given: object, *, scaled: bool) -> float:
        if scaled and self.unit is not None:
            try:
                return self.unit.parse(given)
            except PydanticCustomError as error:
                raise ValueError(error.message()) from error
        if isinstance(given, bool) or not isinstance(given, int | float):
            wanted = f"a number or a distribution such as {_EXAMPLE}" if scaled else "a bare number"
            raise ValueError(f"must be {wanted}, got {json.dumps(given, default=str)[:60]}")
        return float(given)

    def _check(self, distribution: Distribution) -> None:
        shown = json.dumps(self.show(distribution)).replace('"', "")
        try:
            with np.errstate(all="ignore"):
                low, high = distribution.quantile([_SMALLEST, _LARGEST]).tolist()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"scipy cannot compute the quantiles of {shown}: take another one") from error
        if np.isnan(low) or np.isnan(high):
            raise ValueError(f"{shown} is no distribution: check the signs and the order of its parameters")
        if np.isinf(high):
            raise ValueError(
                f"{shown} has so heavy a tail that draws are infinite: make its shape less extreme"
            )
        zero = self.unit is not None and self.unit.zero
        if low < 0 or (low == 0 and not zero):
            wanted = "zero or more" if zero else "more than zero"
            raise ValueError(
                f"must always be {wanted}, but {shown} can be {low:.3g}: "
                "take one that cannot, such as lognormal, gamma, or truncnorm cut off above zero"
            )

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(self.show)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "number"}
        if self.unit is not None:
            number = self.unit.__get_pydantic_json_schema__(schema, handler)
        law = {
            "type": "object",
            "properties": {"dist": {"type": "string", "examples": list(_NAMES)}},
            "required": ["dist"],
            "additionalProperties": {"type": ["number", "string"]},
        }
        return {"anyOf": [number, law]}


Multiplier = Annotated[Distribution, Drawn()]
DrawnRate = Annotated[Distribution, Drawn(Quantity("bit/s", "20 Mbit/s", zero=False))]
DrawnSeconds = Annotated[Distribution, Drawn(Quantity("s", "30 ms"))]
DrawnFlopsPerSecond = Annotated[Distribution, Drawn(Quantity("FLOP/s", "5 GFLOP/s", zero=False))]
DrawnWatts = Annotated[Distribution, Drawn(Quantity("W", "6.4 W"))]
