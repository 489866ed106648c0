import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.devices.cost import CostModel, Phases
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.learner import Part, Workload
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
UNEVEN: dict[str, Any] = {
    "network": {"uplink": "3 Mbit/s", "downlink": "7 Mbit/s", "latency": "11 ms", "jitter": 0.4},
    "compute": {"rate": "5 GFLOP/s", "step_overhead": "2 ms", "jitter": 0.2},
    "straggler": {"probability": 0.3, "slowdown": {"dist": "lognormal", "sigma": 0.5}},
}


def _workload(
    *,
    down: int = 2_000_000,
    up: int = 1_000_000,
    flops: int = 6_000_000_000,
    steps: int = 5,
    memory: int = 10**9,
) -> Workload:
    forward = flops // 3
    half = down // 2
    parts = (Part("a", half), Part("b", down - half))
    return Workload("s", forward, flops - forward, (), parts, up, memory, 160, steps, "full", 1.0)


def _model(catalogue: Catalogue, *groups: dict[str, Any], seed: int = 1) -> CostModel:
    written = [{"profile": "raspberry-pi-4", "count": 1, **group} for group in groups]
    made = [FleetGroup.model_validate_json(json.dumps(group)) for group in written]
    return CostModel(Fleet.draw(made, catalogue, Streams(seed)), Streams(seed))


def _charge(model: CostModel, workload: Workload, device: int = 0, visit: int = 0) -> Phases:
    return model.nominal([workload], np.array([device]), np.array([visit]))


def test_two_devices_worked_by_hand(catalogue: Catalogue) -> None:
    model = _model(
        catalogue,
        {"profile": "plain", "compute": {"rate": "2 GFLOP/s", "step_overhead": "10 ms"}},
        {
            "compute": {"seconds_per_step": "0.5 s"},
            "network": {"uplink": "1 Mbit/s", "downlink": "4 Mbit/s", "latency": "1 s"},
            "straggler": {"probability": 1, "slowdown": 3},
        },
    )
    workloads = [_workload(memory=10**9), _workload(memory=5 * 10**9)]
    phases = model.nominal(workloads, np.array([0, 1]), np.array([0, 0]))
    np.testing.assert_allclose(phases.download_s, [0.025 + 16e6 / 80e6, 1 + 4], rtol=1e-15)
    np.testing.assert_allclose(phases.compute_s, [5 * 0.01 + 3, 5 * 0.5 * 3], rtol=1e-15)
    np.testing.assert_allclose(phases.upload_s, [0.025 + 8e6 / 8e6, 1 + 8], rtol=1e-15)
    assert phases.fits.tolist() == [True, False]
    np.testing.assert_allclose(phases.energy_compute_j, [3.05 * 5, 7.5 * 5.7])
    assert np.isnan([phases.energy_download_j, phases.energy_upload_j]).all()


def test_no_bytes_still_pay_the_latency_once_per_transfer(catalogue: Catalogue) -> None:
    phases = _charge(_model(catalogue, UNEVEN), _workload(down=0, up=0))
    assert [phases.download_s.item(), phases.upload_s.item()] == [0.011, 0.011]


def test_expected_seconds_have_no_jitter_and_no_slowdown(catalogue: Catalogue) -> None:
    calm = {
        "network": {"uplink": "3 Mbit/s", "downlink": "7 Mbit/s", "latency": "11 ms"},
        "compute": {"rate": "5 GFLOP/s", "step_overhead": "2 ms"},
    }
    model = _model(catalogue, UNEVEN, calm)
    expected = model.expected(_workload(), np.array([0, 1]))
    charged = _charge(model, _workload(), device=1)
    for name in Phases._fields:
        both, one = getattr(expected, name), getattr(charged, name)
        np.testing.assert_array_equal(both, np.repeat(one, 2))


def test_jitter_has_median_one_and_its_sigma(catalogue: Catalogue) -> None:
    model = _model(catalogue, {**UNEVEN, "straggler": None})
    visits = np.arange(4000)
    phases = model.nominal([_workload()] * 4000, np.zeros(4000, dtype=np.int64), visits)
    factor = phases.compute_s / model.expected(_workload(), np.array([0])).compute_s
    assert np.median(factor) == pytest.approx(1, abs=0.03)
    assert np.std(np.log(factor)) == pytest.approx(0.2, rel=0.06)
    assert np.std(np.log(phases.upload_s - 0.011)) == pytest.approx(0.4, rel=0.06)


def test_slowdown_comes_with_its_probability_and_is_not_clipped(catalogue: Catalogue) -> None:
    half = {"dist": "uniform", "low": 0.25, "high": 0.75}
    group = {"compute": {"seconds_per_step": "1 s"}, "straggler": {"probability": 0.3, "slowdown": half}}
    model = _model(catalogue, group)
    phases = model.nominal([_workload(steps=1)] * 4000, np.zeros(4000, dtype=np.int64), np.arange(4000))
    slowed = phases.compute_s < 1
    assert slowed.mean() == pytest.approx(0.3, abs=0.03)
    assert phases.compute_s[slowed].mean() == pytest.approx(0.5, abs=0.02)
    assert (phases.compute_s[~slowed] == 1).all()


def test_basis_is_the_weaker_one_or_override() -> None:
    model = _model(SHIPPED, {}, {"compute": {"scale": 0.5}})
    bases = [model.basis(_workload(), device) for device in (0, 1)]
    assert bases == ["estimated", "override"]


batches = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 10**9), st.integers(0, 100)),
    min_size=1,
    max_size=30,
)


@given(batches, st.integers(0, 2**32))
@settings(max_examples=40)
def test_visits_cost_the_same_one_by_one_and_in_a_batch(
    batch: list[tuple[int, int, int, int]], seed: int
) -> None:
    model = _model(SHIPPED, {"count": 2, **UNEVEN}, {"profile": "pixel-6", "network": "lte"}, {}, seed=seed)
    devices, visits = (np.array([entry[i] for entry in batch]) for i in (0, 1))
    workloads = [_workload(up=up, steps=steps) for _, _, up, steps in batch]
    together = model.nominal(workloads, devices, visits)
    for index, workload in enumerate(workloads):
        alone = model.nominal([workload], devices[[index]], visits[[index]])
        for name in Phases._fields:
            np.testing.assert_array_equal(
                getattr(alone, name)[0], getattr(together, name)[index], strict=True
            )
        numbers = model.demand(workload, int(devices[index]), int(visits[index])).phases()
        for name in Phases._fields:
            np.testing.assert_array_equal(getattr(numbers, name), getattr(together, name)[index])


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 100))
def test_doubling_bytes_and_bandwidth_leaves_seconds_as_they_were(down: int, up: int, visit: int) -> None:
    twice = {**UNEVEN, "network": {**UNEVEN["network"], "uplink": "6 Mbit/s", "downlink": "14 Mbit/s"}}
    once = _charge(_model(SHIPPED, UNEVEN), _workload(down=down, up=up), visit=visit)
    again = _charge(_model(SHIPPED, twice), _workload(down=2 * down, up=2 * up), visit=visit)
    assert [once.download_s, once.compute_s, once.upload_s] == [
        again.download_s,
        again.compute_s,
        again.upload_s,
    ]


@given(st.integers(0, 10**12), st.integers(0, 10**4), st.integers(0, 100))
def test_twice_the_speed_is_half_the_compute_time(flops: int, steps: int, visit: int) -> None:
    straggler = UNEVEN["straggler"]
    once, twice, profile = (
        _model(SHIPPED, {"compute": compute, "straggler": straggler})
        for compute in ({"scale": 1, "jitter": 0.2}, {"scale": 2, "jitter": 0.2}, None)
    )
    work = _workload(flops=flops, steps=steps)
    assert _charge(once, work, visit=visit).compute_s == 2 * _charge(twice, work, visit=visit).compute_s
    device = np.array([0])
    assert once.expected(work, device).compute_s == profile.expected(work, device).compute_s
