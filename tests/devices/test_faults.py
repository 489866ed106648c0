import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.devices.failures import Failures
from edgesim.devices.faults import Faults
from edgesim.devices.outages import AtRandom, Listed, Outage, Outages, Regular
from edgesim.devices.poisson import Poisson
from edgesim.devices.presence import Presence
from edgesim.devices.profile import Catalogue
from edgesim.rng import Streams
from tests.devices.fleets import entry
from tests.scenarios import BASE, refusal, scenario

HOUR_S = 3600.0
NONE = Outages()


def outages(*kinds: tuple[object, float]) -> Outages:
    return Outages(tuple(Outage(starts, duration_s) for starts, duration_s in kinds))  # type: ignore[arg-type]


def at_random(mean_s: float, number: int = 0, seed: int = 1) -> AtRandom:
    return AtRandom(Poisson(Streams(seed), "fault", mean_s), number)


# ---------------------------------------------------------------------------------------------------- outages


def windows(broken: Outages, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Begin and end of the outages within [start_s, end_s), or from `start_s` on."""
    found = []
    begin_s = start_s if broken.active(start_s) else broken.change_s(start_s)
    while begin_s < end_s:
        found.append((begin_s, broken.change_s(begin_s)))
        begin_s = broken.change_s(found[-1][1])
    return found


def test_listed_outages_are_merged_where_they_touch_or_overlap() -> None:
    broken = outages((Listed((10.0, 14.0, 19.0, 40.0)), 5.0))
    assert windows(broken, 0.0, 100.0) == [(10.0, 24.0), (40.0, 45.0)]
    assert windows(broken, 12.0, 42.0) == [(12.0, 24.0), (40.0, 45.0)]
    assert windows(broken, 24.0, 40.0) == []
    assert broken.active(np.array([9.9, 10.0, 23.9, 24.0])).tolist() == [False, True, True, False]
    assert [broken.change_s(at_s) for at_s in (0.0, 10.0, 24.0, 45.0)] == [10.0, 24.0, 40.0, np.inf]


def test_regular_outages_begin_after_one_interval() -> None:
    broken = outages((Regular(10.0), 2.0))
    assert windows(broken, 0.0, 31.0) == [(10.0, 12.0), (20.0, 22.0), (30.0, 32.0)]
    assert not broken.active(1.0)


def test_outages_of_several_kinds_are_one() -> None:
    broken = outages((Regular(10.0), 2.0), (Listed((11.0,)), 9.5))
    assert windows(broken, 0.0, 25.0) == [(10.0, 22.0)]


def test_where_nothing_breaks_nothing_changes() -> None:
    assert not NONE
    assert not NONE.active(3.0)
    assert NONE.change_s(0.0) == np.inf
    assert windows(NONE, 0.0, 1e9) == []


def test_random_outages_begin_at_their_rate() -> None:
    counts = [
        len(list(windows(outages((at_random(100.0, number), 1e-3)), 0.0, 5000.0))) for number in range(20)
    ]
    assert np.sum(counts) == pytest.approx(1000, abs=3 * np.sqrt(1000))


def test_random_outages_last_their_share_of_the_time() -> None:
    """Of starts at a rate and a fixed length, a moment is free with probability exp(-rate length)."""
    active = [outages((at_random(100.0, seed=seed), 50.0)).active(1e6) for seed in range(2000)]
    assert np.mean(active) == pytest.approx(1 - np.exp(-0.5), abs=3 * 0.5 / np.sqrt(2000))
    assert not outages((at_random(1.0), 50.0)).active(0.0), "nothing broke before the beginning"


@given(st.floats(0, 1e5))
def test_an_outage_holds_until_its_change(at_s: float) -> None:
    broken = outages((at_random(100.0), 20.0), (Regular(77.0), 5.0), (Listed((30.0,)), 500.0))
    change_s = broken.change_s(at_s)
    assert broken.active(change_s) != broken.active(at_s)
    for inside_s in (np.nextafter(change_s, 0), (at_s + change_s) / 2):
        assert broken.active(inside_s) == broken.active(at_s)


# ----------------------------------------------------------------------------------------------------- faults


def faults(*lines: str) -> Faults:
    base = BASE.replace("count: 3}", "count: 3}\n  - {profile: raspberry-pi-4, count: 2, network: lte}")
    listed = "".join(f"  - {line}\n" for line in lines)
    read = scenario(f"{base}faults:\n{listed}")
    assert scenario(read.to_yaml()) == read
    return Faults.draw(read.faults, read.fleet, Catalogue(), Streams(1))


def test_each_fault_hits_what_it_names() -> None:
    found = faults(
        "{name: server_restart, at: 1 h, duration: 60 s}",
        "{name: link_outage, server: true, at: 2 h, duration: 60 s}",
        "{name: link_outage, network: lte, at: 3 h, duration: 60 s}",
        "{name: link_outage, profile: pixel-6, at: [4 h, 5 h], duration: 60 s}",
        "{name: class_outage, profile: raspberry-pi-4, every: 6 h, duration: 60 s}",
    )

    def starts_h(broken: Outages) -> list[float]:
        return [start_s / HOUR_S for start_s, _ in windows(broken, 0.0, 10 * HOUR_S)]

    assert starts_h(found.server) == [1]
    assert starts_h(found.server_links) == [2]
    assert [starts_h(link) for link in found.links] == [[4, 5], [3]]
    assert [starts_h(absence) for absence in found.absences] == [[], [6]]
    assert not found.corrupted(np.arange(5), np.zeros(5, np.int64)).any()


def test_a_network_is_also_named_by_the_profile_of_its_devices() -> None:
    found = faults("{name: link_outage, network: wifi, rate: 1 / h, duration: 1 s}")
    assert [bool(link) for link in found.links] == [True, False]


def test_random_faults_are_independent_of_each_other() -> None:
    line = "{name: server_restart, rate: 1 / h, duration: 1 s}"
    found = faults(line, line)
    assert len(windows(found.server, 0.0, 100 * HOUR_S)) == pytest.approx(200, abs=3 * np.sqrt(200))


def test_a_class_outage_makes_its_devices_absent() -> None:
    groups = [entry(2), entry(1, profile="pixel-6")]
    found = faults("{name: class_outage, profile: pixel-6, at: 100 s, duration: 10 s}")
    there = Presence.draw(groups, Streams(1), found.absences)
    assert there.present(np.arange(3), 105.0).tolist() == [False, False, True]
    assert there.next_s(np.arange(3), 105.0).tolist() == [110.0, 110.0, 105.0]


def test_updates_are_corrupted_with_their_probabilities() -> None:
    found = faults(
        "{name: corrupted_update, probability: 0.5}",
        "{name: corrupted_update, probability: 0.2, profile: pixel-6}",
    )
    visits = np.arange(10_000)
    for device, share in ((0, 0.6), (4, 0.5)):
        corrupted = found.corrupted(np.full(len(visits), device), visits)
        assert corrupted.mean() == pytest.approx(share, abs=3 * 0.5 / np.sqrt(len(visits)))
        again = found.corrupted(np.array([device]), np.array([17]))
        assert again.item() == corrupted[17]


def test_one_who_breaks_every_update_breaks_every_update() -> None:
    found = faults("{name: corrupted_update, probability: 1}")
    assert found.corrupted(np.zeros(1000, np.int64), np.arange(1000)).all()


WRONG = [
    ("{name: reboot}", ': no fault "reboot" (known: server_restart, link_outage, class_outage, corrupted_'),
    ("{name: server_restart, duration: 1 s}", ": needs exactly one of at, every, rate; got none"),
    ("{name: server_restart, at: [], duration: 1 s}", ": needs exactly one of at, every, rate; got none"),
    (
        "{name: server_restart, at: 1 h, every: 1 h, duration: 1 s}",
        ": needs exactly one of at, every, rate; got at, every",
    ),
    ("{name: server_restart, at: 3, duration: 1 s}", ".at: needs a unit, as in 30 s; got the bare number 3"),
    (
        "{name: server_restart, rate: 1 h, duration: 1 s}",
        '.rate: "1 h" has the wrong dimension; wanted is one',
    ),
    (
        "{name: server_restart, every: 1 h, duration: 2 h}",
        ": duration must be shorter than the interval of 3600 s, got 7200 s",
    ),
    (
        "{name: link_outage, at: 1 h, duration: 1 s}",
        ": needs exactly one of network, profile, server; got none",
    ),
    (
        "{name: link_outage, network: ltee, at: 1 h, duration: 1 s}",
        '.network: no entry of the fleet has the network "ltee" (it has wifi)',
    ),
    (
        "{name: class_outage, profile: pixel6, at: 1 h, duration: 1 s}",
        '.profile: no entry of the fleet has the profile "pixel6"; did you mean "pixel-6"? (it has pixel-6)',
    ),
    ("{name: corrupted_update, probability: 2}", ".probability: must be at most 1, got 2"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_what_a_scenario_may_not_say_of_faults(line: str, message: str) -> None:
    (problem,) = refusal(f"{BASE}faults:\n  - {line}\n")
    assert problem.startswith(f"x.yaml:11: faults[0]{message}")


# --------------------------------------------------------------------------------------------------- failures


def test_failures_come_after_an_exponential_time_of_work() -> None:
    failures = Failures.draw([entry(), entry(2, failures="0.5 / h")], Streams(1))
    visits = np.arange(20_000)
    after_s = failures.failure_after_s(np.ones(len(visits), np.int64), visits)
    mean_s = 2 * HOUR_S
    assert after_s.mean() == pytest.approx(mean_s, abs=3 * mean_s / np.sqrt(len(visits)))
    assert (after_s > mean_s).mean() == pytest.approx(np.exp(-1), abs=3 * 0.5 / np.sqrt(len(visits)))
    assert failures.failure_after_s(np.array([0, 1]), np.array([5, 5])).tolist() == [np.inf, after_s[5]]
    assert not failures.never
    assert Failures.draw([entry()], Streams(1)).never


def test_what_breaks_is_part_of_a_resolved_scenario() -> None:
    text = BASE.replace(
        "count: 3}", "count: 3, failures: 2 / day, availability: {name: markov, on: 1 h, off: 2 h}}"
    )
    read = scenario(text)
    assert read.fleet[0].failures == pytest.approx(2 / 86_400)
    assert scenario(read.to_yaml()) == read
