"""How capacities grow: by hand-written accuracies, at listed times, linearly; and what no rule may do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.errors import InputError
from edgesim.growth._growth import Climbing, GrowthRule, Seen, Step
from edgesim.growth.adaptive import Adaptive, Detector
from edgesim.growth.fixed_time import FixedTime
from edgesim.growth.linear import Linear

CLASSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""FedGMR's ladder."""

Growth = tuple[int, int, float, str]
"""Version, device, capacity, cause."""


def begun(rule: GrowthRule, capacity: Sequence[float]) -> tuple[Step, np.ndarray]:
    held = np.array(capacity)
    return rule.begin(rule.rungs(CLASSES, held), held), held


def seen(rule: Adaptive, capacity: Sequence[float], averages: Sequence[float], **clients: Sequence[float]):
    """What a rule raises when it sees these accuracies, one after another; `_2` are those of device 2."""
    step, held = begun(rule, capacity)
    found: list[Growth] = []
    for number, average in enumerate(averages):
        assert step.wanted is not None
        version = step.wanted.version
        devices = np.flatnonzero(held < step.wanted.below).tolist()
        own = {device: clients[f"_{device}"][number] for device in devices if f"_{device}" in clients}
        step = rule.step(step.state, Seen(version, float(version), held, average, own))
        for device, larger, cause in step.grown:
            held[device] = larger
            found.append((version, device, larger, cause))
    return found, step, held


# -------------------------------------------------------------------------------------------- the detector


def test_a_detector_counts_what_is_no_new_best_and_forgets_it_at_one() -> None:
    detector, counters = Detector(), []
    for accuracy in (0.0, 0.3, 0.3, 0.2, 0.4, 0.1):
        detector = detector.after(accuracy)
        counters.append(detector.counter)
    assert counters == [1, 0, 1, 2, 0, 1]


def test_a_blocked_detector_does_not_count() -> None:
    detector = Detector(best=0.5).reset(blocked=2)
    for accuracy in (0.9, 0.1):
        detector = detector.after(accuracy)
    assert detector == Detector()
    assert detector.after(0.3) == Detector(best=0.3)


RISING = [number / 100 for number in range(1, 40)]
FLAT = [0.5] * 39


def test_a_sub_model_that_stands_still_grows_by_a_rung_and_is_then_blocked() -> None:
    # best at 10, none better at 20 and 30: grows; blocked at 40, 50, 60, 70; best at 80, none better to 100
    rule = Adaptive(patience=2, every=10, ladder=CLASSES)
    found, _, _ = seen(rule, [0.05, 1.0], RISING[:10], _0=FLAT)
    assert found == [(30, 0, 0.1, "client"), (100, 0, 0.2, "client")]


def test_devices_that_hold_everything_are_not_evaluated() -> None:
    step, held = begun(Adaptive(), [0.05, 1.0, 0.5])
    assert step.wanted is not None
    assert np.flatnonzero(held < step.wanted.below).tolist() == [0, 2]


def test_a_device_that_has_not_trained_yet_neither_counts_nor_grows() -> None:
    found, step, _ = seen(Adaptive(patience=1, every=1), [0.05, 0.1], RISING[:8], _1=FLAT)
    assert {device for _, device, _, _ in found} == {1}
    assert set(step.state.clients) == {1}


def test_the_first_plateau_of_the_average_arms_and_the_next_evaluation_below_the_best_raises_the_floor() -> (
    None
):
    # best at 1, 0.5; plateau at 3 arms and resets nothing, so that 4 is one too; blocked at 5, 6; best at 7
    rule = Adaptive(patience=2, every=1)
    found, step, held = seen(rule, [0.05, 0.1, 0.2], FLAT[:9])
    assert found == [(4, 0, 0.1, "floor"), (9, 0, 0.2, "floor"), (9, 1, 0.2, "floor")]
    assert step.state.floor == 0.2
    assert held.tolist() == [0.2, 0.2, 0.2]


def test_an_average_that_rises_after_arming_waits_for_a_whole_plateau_again() -> None:
    averages = [0.5, 0.5, 0.5, 0.6, 0.6, 0.6]
    found, step, _ = seen(Adaptive(patience=2, every=1), [0.05, 0.1], averages)
    assert step.state.armed
    assert found == [(6, 0, 0.1, "floor")]


def test_devices_are_looked_at_before_the_average_whose_best_they_reset() -> None:
    # the average would arm at 2 and raise the floor at 3; a growth at 2 makes it begin anew there
    rule = Adaptive(patience=1, every=1)
    without, _, _ = seen(rule, [0.05, 0.2], FLAT[:3])
    found, _, _ = seen(rule, [0.05, 0.2], FLAT[:4], _0=FLAT)
    assert without == [(3, 0, 0.2, "floor")]
    assert found == [(2, 0, 0.2, "client")]


def test_a_raised_floor_resets_all_detectors_and_leaves_blocks_as_they_are() -> None:
    rule = Adaptive(patience=2, every=1, ladder=CLASSES)
    _, step, _ = seen(rule, [0.05, 0.05], FLAT[:4], _0=[0.5, 0.4, 0.3, 0.2], _1=RISING)
    # device 0 grew at 3 and began the average anew there: it arms at 5, and the floor is raised at 6
    assert step.state.clients[0] == Detector(blocked=3)
    found, step, _ = seen(rule, [0.05, 0.05], FLAT[:6], _0=FLAT, _1=RISING)
    assert found[-1] == (6, 1, 0.1, "floor")
    assert step.state.clients == {0: Detector(blocked=1), 1: Detector()}
    assert step.state.whole == Detector(blocked=2)


def test_at_the_top_it_looks_five_times_as_seldom_and_waits_five_times_as_long_and_then_ends() -> None:
    # arms at 4, the floor is at the top at 6; blocked at 16; best at 26; 5 without a new best: 36, ..., 76
    rule = Adaptive(patience=1, every=2, ladder=(0.5, 1.0))
    found, step, _ = seen(rule, [0.5, 0.5], FLAT[:3])
    assert [growth[2:] for growth in found] == [(1.0, "floor")] * 2
    assert step.wanted is not None
    assert step.wanted.version == 6 + 10
    ends = []
    for count in range(4, 11):
        _, step, _ = seen(rule, [0.5, 0.5], FLAT[:count])
        ends.append(step.finished)
    assert ends == [False] * 6 + [True]


def test_the_last_patience_is_at_most_fifty() -> None:
    rule = Adaptive(patience=11, every=1)
    step, _ = begun(rule, [1.0])
    assert rule._patience(step.state) == 50


def test_a_refused_device_is_evaluated_and_asks_again() -> None:
    rule, held = Adaptive(patience=1, every=1, ladder=(0.5, 1.0)), np.array([0.5])
    step = rule.begin(rule.rungs(CLASSES, held), held)
    asked = []
    for version in range(1, 8):  # best, plateau, blocked twice, best, plateau
        step = rule.step(step.state, Seen(version, 0.0, held, version / 10, {0: 0.5}))
        asked += [version] * len(step.grown)
        assert step.wanted is not None
        assert held[0] < step.wanted.below
    assert asked == [2, 6]


ACCURACY = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(
    patience=st.integers(1, 4),
    capacity=st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4),
    accuracies=st.lists(st.lists(ACCURACY, min_size=5, max_size=5), min_size=1, max_size=60),
)
def test_capacities_rise_on_the_ladder_and_a_device_by_itself_at_most_once_in_twice_the_patience(
    patience: int, capacity: list[float], accuracies: list[list[float]]
) -> None:
    """P21."""
    rule = Adaptive(patience=patience, every=1, ladder=CLASSES)
    columns = {f"_{device}": [row[device] for row in accuracies] for device in range(len(capacity))}
    grown, step, _ = seen(rule, capacity, [row[-1] for row in accuracies], **columns)
    held, own = list(capacity), dict.fromkeys(range(len(capacity)), -np.inf)
    for version, device, larger, cause in grown:
        assert larger > held[device]
        assert larger in CLASSES
        held[device] = larger
        if cause == "client":
            assert version - own[device] > 2 * patience
            own[device] = version
    assert min(held) >= step.state.floor


# ---------------------------------------------------------------------------------------------- schedules


def at(rule: GrowthRule, capacity: Sequence[float], times_s: Sequence[float]):
    step, held = begun(rule, capacity)
    floors = []
    for number, time_s in enumerate(times_s):
        step = rule.step(step.state, Seen(number + 1, time_s, held))
        assert {cause for _, _, cause in step.grown} <= {"schedule"}
        for device, larger, _ in step.grown:
            held[device] = larger
        floors.append(float(held.min()))
    return floors, held


def test_the_mean_density_of_fedgmr_under_the_fixed_time_trigger_is_the_published_one() -> None:
    high = [1.0, 0.5, 0.2, 0.1, *[0.05] * 6]
    step, held = begun(FixedTime(at=(14e3, 28e3, 42e3, 56e3)), high)
    means = [held.mean()]
    for version, time_s in enumerate((14e3, 28e3, 42e3, 56e3)):
        step = FixedTime(at=(14e3, 28e3, 42e3, 56e3)).step(step.state, Seen(version + 1, time_s, held))
        held = np.maximum(held, step.state.floor)
        means.append(held.mean())
    assert means == pytest.approx([0.21, 0.24, 0.31, 0.55, 1.0])


def test_a_fixed_time_counts_at_the_first_aggregation_at_or_after_it() -> None:
    rule = FixedTime(at=(10.0, 20.0, 30.0))
    floors, held = at(rule, [0.05, 0.2, 0.5], [9.9, 10.0, 19.0, 35.0, 40.0])
    assert floors == [0.05, 0.2, 0.2, 1.0, 1.0]
    assert held.tolist() == [1.0, 1.0, 1.0]


def test_more_times_than_rungs_are_refused() -> None:
    with pytest.raises(InputError, match=r"growth.at: has 3 times, and from 0.2 there are 2 rungs to climb"):
        begun(FixedTime(at=(1.0, 2.0, 3.0)), [0.2, 0.5])


def test_a_linear_floor_is_the_highest_rung_that_is_due() -> None:
    rule = Linear(per_round=0.1, ladder=(0.25, 0.5))
    floors, _ = at(rule, [0.0625, 0.3], [float(version) for version in range(1, 12)])
    # due: 0.1625, 0.2625, 0.3625, 0.4625, 0.5625, ..., 0.9625, 1.0625
    assert floors == [0.0625, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_ten_rounds_of_a_tenth_are_a_whole_rung() -> None:
    floors, _ = at(Linear(per_round=0.1), [0.2, 0.5], [0.0] * 8)
    assert floors == [0.2, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]


# ------------------------------------------------------------------------------------------------- ladders


@pytest.mark.parametrize(
    ("ladder", "capacity", "expected"),
    [
        (None, [0.2, 0.05, 0.2], (0.05, 0.2, 1.0)),
        (None, [0.2, 0.2], CLASSES),
        ((0.3, 0.6), [0.2, 0.05], (0.3, 0.6, 1.0)),
        ((0.5, 1.0), [0.2, 0.2], (0.5, 1.0)),
    ],
    ids=["what they begin with", "the method's own", "the scenario's", "to the top"],
)
def test_a_ladder_ends_with_the_largest_capacity(
    ladder: tuple[float, ...] | None, capacity: list[float], expected: tuple[float, ...]
) -> None:
    assert Climbing(ladder=ladder).rungs(CLASSES, np.array(capacity)) == expected


def test_a_ladder_beyond_the_largest_capacity_is_refused() -> None:
    with pytest.raises(InputError, match=r"growth.ladder: goes up to 3, and the largest capacity here is 1"):
        Climbing(ladder=(0.5, 3.0)).rungs(CLASSES, np.array([0.05]))
