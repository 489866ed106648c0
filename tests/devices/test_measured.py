"""Seconds of steps that were timed, and of those that were not; what the cost model makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgesim.devices.cost import CostModel, Phases
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.measured import Fit, Measured, Misses, StepTime, TimedStep, features, predicted
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.learner import Operator, Part, Workload
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
TIMED, OTHER, UNSEEN = "a" * 16, "b" * 16, "c" * 16

FIT = Fit(
    coefficients={"step": 1e-3, "linear flops": 1e-9, "calls": 1e-5},
    plain={"step": 2e-3, "flops": 2e-9, "bytes": 1e-9},
    classes=("linear",),
    residual=0.05,
)
ROW = {"shape": TIMED, "label": "full", "batch": 8, "seconds": "20 ms", "low": "19 ms", "high": "22 ms"}
MEASURED = Measured.model_validate_json(
    json.dumps({"source": "a test", "table": [ROW], "fit": FIT.model_dump(mode="json")})
)


def workload(
    shape: str = TIMED, kind: str = "linear", steps: int = 5, flops: int = 10**9, up: int = 10**6, **more: Any
) -> Workload:
    operators = (Operator(kind, 4 * 10**6, 10**6, 7),)
    parts = (Part("a", 2 * 10**6),)
    return Workload(shape, flops, flops, operators, parts, up, 10**6, 40, steps, "full", 1.0, **more)


def test_a_step_that_was_timed_takes_what_it_took() -> None:
    assert MEASURED.step(workload()) == StepTime(0.02, "timed")


def test_a_step_of_known_operators_is_fitted_by_class() -> None:
    seconds, basis = MEASURED.step(workload(OTHER))
    assert (seconds, basis) == (pytest.approx(1e-3 + 4e-3 + 7e-5), "fitted")


def test_a_step_with_an_operator_that_was_never_timed_is_fitted_by_three_features() -> None:
    seconds, basis = MEASURED.step(workload(UNSEEN, kind="lstm"))
    assert (seconds, basis) == (pytest.approx(2e-3 + 8e-3 + 1e-3), "fitted")


def test_a_mixture_takes_the_mean_of_its_levels() -> None:
    levels = ((0.25, workload()), (0.75, workload(OTHER)))
    mixture = workload(UNSEEN, runs=levels)
    seconds, basis = MEASURED.step(mixture)
    assert (seconds, basis) == (pytest.approx(0.25 * 0.02 + 0.75 * 5.07e-3), "fitted")
    assert MEASURED.step(workload(UNSEEN, runs=((1.0, workload()),))) == StepTime(0.02, "timed")


def test_features_are_sums_over_classes_beside_those_of_each() -> None:
    found = features((Operator("conv", 10, 20, 3), Operator("linear", 1, 2, 4)))
    assert found == {
        "step": 1, "calls": 7, "flops": 11, "bytes": 22,
        "conv flops": 10, "conv bytes": 20, "linear flops": 1, "linear bytes": 2,
    }  # fmt: skip
    assert predicted({"step": 0.5, "conv flops": 2.0, "lstm flops": 9.0}, found) == 20.5


def test_the_uncertainty_is_that_of_shapes_left_out_where_it_is_known() -> None:
    assert FIT.uncertainty == 0.1
    misses = Misses(median=0.01, p90=0.2, largest=0.3)
    assert FIT.model_copy(update={"leave_one_out": misses}).uncertainty == 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "full"}, "should match pattern"),
        ({"seconds": "30 ms"}, "low <= seconds <= high must hold"),
        ({"seconds": 0.02}, "needs a unit"),
        ({"batch": 0}, "greater than or equal to 1"),
    ],
)
def test_a_row_of_the_table_must_make_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TimedStep.model_validate_json(json.dumps(ROW | change))


# ------------------------------------------------------------------------------------ in the cost model


class _Timed(Catalogue):
    """The shipped profiles, of which that of the Raspberry Pi 4 holds timed steps."""

    def load(self, name: str) -> DeviceProfile:
        found = super().load(name)
        return found.model_copy(update={"measured": MEASURED}) if name == "raspberry-pi-4" else found


def model(*groups: dict[str, Any], timed: bool = True, seed: int = 1) -> CostModel:
    written = [{"profile": "raspberry-pi-4", "count": 1, **group} for group in groups]
    made = [FleetGroup.model_validate_json(json.dumps(group)) for group in written]
    streams = Streams(seed)
    return CostModel(Fleet.draw(made, _Timed(environment={}), streams), streams, timed)


def compute_s(cost: CostModel, work: Workload, device: int = 0) -> float:
    return float(cost.expected(work, np.array([device])).compute_s[0])


def test_a_visit_takes_its_steps_times_what_a_step_took() -> None:
    cost = model({})
    assert compute_s(cost, workload(steps=5)) == pytest.approx(5 * 0.02)
    assert compute_s(cost, workload(OTHER, steps=5)) == pytest.approx(5 * 5.07e-3)
    assert [cost.basis(workload(), 0), cost.basis(workload(OTHER), 0)] == ["timed", "fitted"]


def test_operations_do_not_matter_beside_timed_steps() -> None:
    cost = model({})
    assert compute_s(cost, workload(flops=10**6)) == compute_s(cost, workload(flops=10**12))


def test_without_being_asked_for_timed_steps_change_nothing() -> None:
    asked, plain = model({"profile": "pixel-6"}), model({}, timed=False)
    assert compute_s(plain, workload()) == compute_s(CostModel(plain.fleet, plain.streams), workload())
    assert compute_s(plain, workload()) != pytest.approx(5 * 0.02)
    assert plain.basis(workload(), 0) == "estimated"
    assert asked.basis(workload(), 0) == SHIPPED.load("pixel-6").compute.basis


def test_a_scale_divides_what_was_timed() -> None:
    cost = model({"compute": {"scale": 0.125}}, {"compute": {"scale": 2}})
    assert compute_s(cost, workload(steps=1), 0) == pytest.approx(8 * 0.02)
    assert compute_s(cost, workload(steps=1), 1) == pytest.approx(0.02 / 2)
    assert cost.basis(workload(), 0) == "timed"


@pytest.mark.parametrize("compute", [{"rate": "1 GFLOP/s"}, {"seconds_per_step": "0.5 s"}])
def test_another_compute_model_takes_the_place_of_what_was_timed(compute: dict[str, str]) -> None:
    cost = model({"compute": compute})
    assert cost.basis(workload(), 0) == "override"
    assert compute_s(cost, workload(steps=1)) in (pytest.approx(2.0), pytest.approx(0.5))


def test_slow_devices_and_jitter_apply_to_what_was_timed() -> None:
    slow = {"slow_devices": {"probability": 1, "slowdown": 3}}
    straggling = {"straggler": {"probability": 1, "slowdown": 5}}
    cost = model(slow, straggling)
    found = cost.nominal([workload(steps=1)] * 2, np.array([0, 1]), np.array([0, 0]))
    assert found.compute_s == pytest.approx([3 * 0.02, 5 * 0.02])


def test_copying_a_cost_model_to_another_fleet_forgets_the_steps_of_the_first() -> None:
    first, second = model({}), model({"profile": "pixel-6"}, {})
    compute_s(first, workload())
    assert compute_s(replace(first, fleet=second.fleet), workload(), 1) == pytest.approx(5 * 0.02)
    assert replace(first, fleet=second.fleet)._steps == {}


visits = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 50), st.sampled_from([TIMED, OTHER]), st.integers(0, 40)),
    min_size=1,
    max_size=20,
)


@given(visits, st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_visits_cost_the_same_one_by_one_and_in_a_batch(
    batch: list[tuple[int, int, str, int]], seed: int
) -> None:
    jittery = {"network": "lte", "straggler": {"probability": 0.3, "slowdown": 2}}
    cost = model(
        {"count": 2, "compute": {"scale": 0.3, "jitter": 0.2}, **jittery},
        {"profile": "pixel-6", **jittery},
        {"count": 2, "slow_devices": {"probability": 0.5, "slowdown": {"dist": "lognormal", "sigma": 1}}},
        {"compute": {"seconds_per_step": "0.5 s"}},
        seed=seed,
    )
    devices, numbers = (np.array([entry[place] for entry in batch]) for place in (0, 1))
    works = [workload(shape, steps=steps) for _, _, shape, steps in batch]
    together = cost.nominal(works, devices, numbers)
    for row, work in enumerate(works):
        alone = cost.demand(work, int(devices[row]), int(numbers[row])).phases()
        for name in Phases._fields:
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name)[row])


def test_the_expected_seconds_of_one_workload_are_those_of_each_device() -> None:
    cost = model({"count": 2}, {"profile": "pixel-6"}, {"compute": {"scale": 0.5}})
    work = workload(OTHER)
    together = cost.expected(work, np.arange(4)).compute_s
    assert together.tolist() == [compute_s(cost, work, device) for device in range(4)]
    seconds, fits = cost.expected_visits(work, np.arange(4))
    assert fits.all()
    assert (seconds > together).all()
