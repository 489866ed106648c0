"""Discounts of old updates (algorithms 3.7 (5) and 3.12; P24)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.aggregation._staleness import Constant, Hinge, Poly
from tests.scenarios import BASE, refusal, scenario

EVERY = pytest.mark.parametrize(
    "discount", [Constant(), Poly(), Poly(exponent=5.0), Hinge(), Hinge(delay=0, slope=10.0)]
)


@pytest.mark.parametrize(
    ("discount", "expected"),
    [
        (Constant(), [1, 1, 1, 1, 1]),
        (Poly(exponent=1.0), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        (Hinge(delay=2, slope=0.5), [1, 1, 1, 1 / 1.5, 1 / 2]),
    ],
)
def test_the_first_five_versions_by_hand(discount: Constant | Poly | Hinge, expected: list[float]) -> None:
    assert [discount.factor(age) for age in range(5)] == pytest.approx(expected)


@EVERY
def test_a_fresh_update_counts_in_full(discount: Constant | Poly | Hinge) -> None:
    assert discount.factor(0) == 1


@EVERY
@given(age=st.integers(0, 100_000))
def test_the_factor_falls_and_never_to_nothing(discount: Constant | Poly | Hinge, age: int) -> None:
    assert 0 < discount.factor(age + 1) <= discount.factor(age) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant", Constant()),
        ("poly", Poly(exponent=0.6)),
        ("{name: poly, exponent: 0.5}", Poly(exponent=0.5)),
        ("{name: hinge, delay: 2, slope: 0.6}", Hinge()),
    ],
)
@pytest.mark.parametrize("name", ["covered", "fill", "zero_inclusive", "mix", "delta"])
def test_every_aggregation_takes_one_from_the_scenario(
    name: str, text: str, expected: Constant | Poly | Hinge
) -> None:
    several = name in ("covered", "fill", "zero_inclusive")
    policy = f"{{name: buffered, buffer: {1 + several}, concurrency: 2}}"
    fleet = BASE[: BASE.index("coordination")]
    base = f"{fleet}coordination: {policy}\nstop: {{rounds: 3}}\n"
    written = scenario(f"{base}aggregation: {{name: {name}, staleness: {text}}}\n")
    assert written.aggregation is not None
    assert written.aggregation.staleness == expected
    assert scenario(written.to_yaml()) == written


def test_a_wrong_one_is_refused_at_its_key() -> None:
    (line,) = refusal(f"{BASE}aggregation: {{name: mix, staleness: {{name: poli}}}}\n")
    assert line.startswith('x.yaml:10: aggregation.staleness: no staleness "poli"; did you mean "poly"?')
    (line,) = refusal(f"{BASE}aggregation: {{name: mix, staleness: {{name: poly, exponent: 0}}}}\n")
    assert line.startswith("x.yaml:10: aggregation.staleness.exponent: ")
