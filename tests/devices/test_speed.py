"""Seconds of work under load that comes and goes and under throttling by heat."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.devices import _load
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.profile import Catalogue
from edgesim.devices.speed import Speed
from edgesim.errors import RunFailed
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
LOAD = {"sigma": 0.5, "correlation_time": "40 s"}
HOT = {"slowdown": 2, "onset": 0, "heating_time": "100 s", "cooling_time": "50 s"}
LATE = {"slowdown": 3, "onset": 0.5, "heating_time": "100 s", "cooling_time": "50 s"}
LN2 = np.log(2)


def _speed(*entries: dict[str, Any], seed: int = 1) -> Speed:
    written = [{"profile": "raspberry-pi-4", "count": 1, **entry} for entry in entries]
    groups = [FleetGroup.model_validate_json(json.dumps(each)) for each in written]
    return Speed.of(Fleet.draw(groups, SHIPPED, Streams(seed)), Streams(seed))


def _seconds(speed: Speed, nominal_s: float, start_s: float = 0.0, heat: float = 0.0) -> tuple[float, float]:
    taken_s, after = speed.seconds(*(np.array([value]) for value in (nominal_s, 0, start_s, heat)))
    return float(taken_s[0]), float(after[0])


# ------------------------------------------------------------------------------------ where nothing varies


@pytest.mark.parametrize(
    "entry", [{}, {"load": {**LOAD, "sigma": 0}}, {"throttling": {**HOT, "slowdown": 1}}]
)
def test_seconds_are_the_nominal_ones_bit_for_bit_where_nothing_varies(entry: dict[str, Any]) -> None:
    speed = _speed(entry | {"count": 1000})
    devices, nominal_s = np.arange(1000), 1 / np.arange(1, 1001)
    start_s, heat = np.linspace(0, 1e6, 1000), np.zeros(1000)
    taken_s, after = speed.seconds(nominal_s, devices, start_s, heat)
    assert not speed.varies
    np.testing.assert_array_equal(taken_s, nominal_s)
    np.testing.assert_array_equal(speed.nominal_done(devices, start_s, heat, nominal_s), nominal_s)
    assert not after.any()
    assert not speed.cooled(after, devices, nominal_s).any()


def test_a_steady_device_beside_varying_ones_keeps_its_nominal_seconds() -> None:
    speed = _speed({"load": LOAD}, {}, {"throttling": HOT})
    taken_s, after = speed.seconds(np.full(3, 1 / 3), np.arange(3), np.zeros(3), np.zeros(3))
    assert speed.varies
    assert (taken_s == 1 / 3).tolist() == [False, True, False]
    assert (after > 0).tolist() == [False, False, True]


# ------------------------------------------------------------------------------------------------- heat


def test_a_device_that_throttles_from_the_start_worked_by_hand() -> None:
    """With T = 100 s and k = 2, after T ln 2 the heat is 1/2, and T/2 (ln 2 + ln 1.5) of work are done."""
    speed = _speed({"throttling": HOT})
    taken_s, heat = _seconds(speed, 50 * (LN2 + np.log(1.5)))
    assert (taken_s, heat) == pytest.approx((100 * LN2, 0.5))


def test_up_to_the_onset_work_takes_its_nominal_seconds() -> None:
    """Heat gets to 1/2 after T ln 2 = 69.3 s; the next ln 2 of time constants yield T/3 (ln 2 + ln 2)."""
    speed = _speed({"throttling": LATE})
    assert _seconds(speed, 60.0)[0] == 60
    done_s = 100 * LN2 + 100 / 3 * (LN2 + np.log((3 - 2 / 2) / 1))
    assert _seconds(speed, done_s) == pytest.approx((200 * LN2, 0.75))


@pytest.mark.parametrize(("throttling", "slowdown"), [(HOT, 2), (LATE, 3)])
def test_a_hot_device_is_slower_by_the_slowdown(throttling: dict[str, Any], slowdown: int) -> None:
    assert _seconds(_speed({"throttling": throttling}), 7.0, heat=1.0) == pytest.approx((7 * slowdown, 1))


def test_heat_decays_while_the_device_idles_and_builds_up_while_it_works() -> None:
    speed, one = _speed({"throttling": HOT}), np.array([0])
    assert speed.cooled(np.array([0.8]), one, np.array([50 * LN2])) == pytest.approx(0.4)
    assert speed.warmed(np.array([0.8]), one, np.array([100 * LN2])) == pytest.approx(0.9)


def test_work_in_two_parts_takes_as_long_as_in_one() -> None:
    speed = _speed({"throttling": LATE, "load": LOAD})
    whole_s, heat = _seconds(speed, 300.0, start_s=17.0)
    first_s, warm = _seconds(speed, 120.0, start_s=17.0)
    second_s, hot = _seconds(speed, 180.0, start_s=17.0 + first_s, heat=warm)
    assert (first_s + second_s, hot) == pytest.approx((whole_s, heat))


def test_a_board_without_a_fan_throttles_as_its_profile_says() -> None:
    """A Raspberry Pi 4 at 85 degrees takes 2.1 times as long; the defaults are those of its profile."""
    given, default = _speed({"throttling": "profile"}), _speed({"throttling": {}})
    assert _seconds(given, 1e6)[0] == pytest.approx(2.1e6, rel=1e-3)
    assert _seconds(given, 1e3) == _seconds(default, 1e3)


# ------------------------------------------------------------------------------------------------- load


def test_within_a_cell_seconds_are_divided_by_a_constant_speed() -> None:
    """Cells are 1000 s long; with the phase u, cell 5 begins at 1000 (5 - u). Its last 100 s are worked."""
    speed = _speed({"load": {"sigma": 0.5, "correlation_time": "4000 s"}})
    one = np.array([0])
    factor = np.exp(0.5 * _load.process(Streams(1), one, np.array([5]), 2)[0])
    begin_s = 1000 * (5 - _load.phase(Streams(1), one)[0])
    assert _seconds(speed, 10.0, begin_s + 1)[0] == pytest.approx(10 * factor[0])
    nominal_s = 100 / factor[0] + 50
    assert _seconds(speed, nominal_s, begin_s + 900)[0] == pytest.approx(100 + 50 * factor[1])


def test_a_load_says_the_same_whichever_way_it_is_asked() -> None:
    devices = np.arange(50)
    long = _load.process(Streams(3), devices, np.full(50, -20), 60)
    short = _load.process(Streams(3), devices, np.full(50, 11), 4)
    np.testing.assert_array_equal(long[:, 31:35], short)


COUNT = 40_000


@pytest.fixture(scope="module")
def loads() -> Any:
    return _load.process(Streams(5), np.arange(COUNT), np.full(COUNT, 100), 41)


@pytest.mark.parametrize("apart", [1, 2, 4, 8, 16, 40])
def test_the_log_of_the_load_is_autoregressive_of_order_one(loads: Any, apart: int) -> None:
    """Correlation r = exp(-m/4) at m cells; the product of two has the variance 1 + r^2."""
    expected = np.exp(-apart / 4)
    found = np.mean(loads[:, 0] * loads[:, apart])
    assert found == pytest.approx(expected, abs=3 * np.sqrt((1 + expected**2) / COUNT))


def test_given_the_last_cell_the_one_before_tells_nothing_more(loads: Any) -> None:
    """What makes it order one: the residual of x[2] on x[1] does not correlate with x[0]."""
    residual = loads[:, 2] - np.exp(-1 / 4) * loads[:, 1]
    assert residual.var() == pytest.approx(1 - np.exp(-1 / 2), rel=3 * np.sqrt(2 / COUNT))
    assert abs(np.corrcoef(residual, loads[:, 0])[0, 1]) < 3 / np.sqrt(COUNT)


def test_long_work_sees_the_mean_speed() -> None:
    """The speed exp(-sigma x) has the mean exp(sigma^2 / 2); each of 200 works for 250 correlation times."""
    speed = _speed({"load": LOAD, "count": 200})
    nominal_s = np.full(200, 1e4)
    taken_s, _ = speed.seconds(nominal_s, np.arange(200), np.zeros(200), np.zeros(200))
    pace = nominal_s / taken_s
    assert pace.mean() == pytest.approx(np.exp(0.125), abs=3 * pace.std() / np.sqrt(200))


def test_work_that_never_ends_is_an_error() -> None:
    speed = _speed({"load": {"sigma": 0.5, "correlation_time": "1 ms"}})
    with pytest.raises(RunFailed, match=r"device 0: its work spans more than a million cells of 0\.00025 s"):
        _seconds(speed, 1e9)


# ------------------------------------------------------------------------------------------ all together

MIXED = _speed(
    {"count": 10}, {"count": 10, "load": LOAD}, {"count": 10, "throttling": LATE},
    {"count": 10, "load": LOAD, "throttling": HOT},
)  # fmt: skip
work = st.tuples(
    st.integers(0, 39),
    st.floats(0, 1e4, allow_subnormal=False),
    st.floats(0, 1e7, allow_subnormal=False),
    st.floats(0, 1),
)


@settings(deadline=None)
@given(st.lists(work, min_size=1, max_size=20))
def test_work_done_after_the_seconds_that_it_takes_is_the_work(given_work: list[Any]) -> None:
    devices, nominal_s, start_s, heat = (np.array(column) for column in zip(*given_work, strict=True))
    taken_s, after = MIXED.seconds(nominal_s, devices, start_s, heat)
    done_s = MIXED.nominal_done(devices, start_s, heat, taken_s)
    np.testing.assert_allclose(done_s, nominal_s, rtol=1e-9, atol=1e-7)
    assert ((heat <= after) & (after <= 1)).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(work, min_size=2, max_size=20))
def test_many_at_once_are_bit_equal_to_one_by_one(given_work: list[Any]) -> None:
    devices, nominal_s, start_s, heat = (np.array(column) for column in zip(*given_work, strict=True))
    together = MIXED.seconds(nominal_s, devices, start_s, heat)
    back = MIXED.nominal_done(devices, start_s, heat, nominal_s)
    for i in range(len(devices)):
        one = slice(i, i + 1)
        alone = MIXED.seconds(nominal_s[one], devices[one], start_s[one], heat[one])
        assert (alone[0][0], alone[1][0]) == (together[0][i], together[1][i])
        assert MIXED.nominal_done(devices[one], start_s[one], heat[one], nominal_s[one])[0] == back[i]
