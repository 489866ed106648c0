"""Numbers that say how we know them. A number without an origin is refused; none is ever taken as zero."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from edgesim.devices._strict import Strict

T = TypeVar("T", bound=float)

Basis = Literal["measured", "datasheet", "estimated"]
Text = Annotated[str, Field(min_length=1)]

_FROM_STRONG_TO_WEAK: tuple[Basis, ...] = ("measured", "datasheet", "estimated")


def weakest(*bases: Basis) -> Basis:
    """The basis that a number computed from several has."""
    return max(bases, key=_FROM_STRONG_TO_WEAK.index)


class Origin(Strict, Generic[T]):
    """How a number is known.

    Attributes:
        low: lower end of what is plausible, or of what was measured.
        high: upper end.
        basis: measured at the source, given by the maker, or estimated as the source text says.
        source: where it comes from, and how it was worked out.
    """

    low: T
    high: T
    basis: Basis
    source: Text


class Figure(Origin[T], Generic[T]):
    """A number with its origin: `{value: 6 W, low: 4 W, high: 9 W, basis: measured, source: ...}`."""

    value: T

    @property
    def median(self) -> T:
        """The value, as all devices have it; so named as what differs between devices has a median."""
        return self.value

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        check_range(self.low, self.value, self.high)
        return self


def check_range(low: float, value: float, high: float, what: str = "value") -> None:
    """Check that a number, called `what` in the message, lies in its range.

    Raises:
        ValueError: it does not.
    """
    if not low <= value <= high:
        raise ValueError(
            f"low <= {what} <= high must hold, got low {low:g}, {what} {value:g}, high {high:g} (base units)"
        )
