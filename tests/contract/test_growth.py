"""What every growth rule must do: climb its ladder, never shrink, and be a function of what it is shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import registry
from edgesim.growth._growth import GrowthRule, Seen, Step
from tests.contract._examples import example

LADDER = (0.05, 0.1, 0.2, 0.5, 1.0)
NAMES = registry.names("growth")


def rule_of(name: str) -> GrowthRule:
    return example(registry.builtin("growth", name))


def shown(step: Step, version: int, time_s: float, held: np.ndarray, accuracies: list[float]) -> Seen:
    """An aggregation with the accuracies that are wanted, and no others."""
    if step.wanted is None or step.wanted.version > version:
        return Seen(version, time_s, held)
    devices = np.flatnonzero(held < step.wanted.below).tolist()
    own = {device: accuracies[device] for device in devices}
    return Seen(version, time_s, held, accuracies[-1], own)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_component(name: str) -> None:
    rule = rule_of(name)
    assert isinstance(rule, GrowthRule)
    assert dataclasses.is_dataclass(rule)
    assert type(rule).__dataclass_params__.frozen


@pytest.mark.parametrize("name", NAMES)
def test_it_wants_accuracies_exactly_where_its_class_claims_so(name: str) -> None:
    rule, held = rule_of(name), np.array([0.05, 0.5])
    assert (rule.begin(LADDER, held).wanted is not None) == rule.needs_accuracy


@pytest.mark.parametrize("name", [name for name in NAMES if registry.builtin("growth", name).grows])
@settings(max_examples=30, deadline=None)
@given(
    capacity=st.lists(st.sampled_from(LADDER), min_size=2, max_size=4),
    steps=st.lists(
        st.tuples(st.floats(0, 20), st.lists(st.floats(0, 1), min_size=5, max_size=5)), max_size=30
    ),
)
def test_capacities_only_rise_along_the_ladder(name: str, capacity: list[float], steps: list) -> None:
    if min(capacity) == LADDER[-1]:
        return  # nothing to climb, which a rule may refuse
    rule, held, time_s = rule_of(name), np.array(capacity), 0.0
    step = rule.begin(LADDER, held)
    for version, (elapsed_s, accuracies) in enumerate(steps, 1):
        if step.finished:
            break
        if step.wanted is not None and version < step.wanted.version:
            continue
        time_s += elapsed_s
        seen = shown(step, version, time_s, held, accuracies)
        before, step = held.copy(), rule.step(step.state, seen)
        assert np.array_equal(held, before), "a rule is told, and writes nothing"
        for device, larger, _ in step.grown:
            assert larger in LADDER
            assert larger > held[device]
            held[device] = larger


@pytest.mark.parametrize("name", [name for name in NAMES if registry.builtin("growth", name).grows])
def test_the_same_sight_gives_the_same_answer(name: str) -> None:
    rule, held = rule_of(name), np.array([0.05, 0.5, 1.0])
    first = rule.begin(LADDER, held)
    version = 1 if first.wanted is None else first.wanted.version
    seen = shown(first, version, 5.0, held, [0.3] * 3)
    assert rule.step(first.state, seen) == rule.step(first.state, seen)
