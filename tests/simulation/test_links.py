"""Shared links: max-min fair rates, exact ends, nothing lost, and the processor-sharing queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.simulation.links import FluidLinks

Route = tuple[int, ...]


@dataclass(frozen=True)
class Flow:
    """A transfer: when it begins, its bits, its links and its cap."""

    begin_s: float
    bits: float
    route: Route
    cap_bps: float = inf


@dataclass(frozen=True)
class Change:
    """What happens on the way: a flow's cap, a link's capacity, or the removal of a flow."""

    at_s: float
    kind: str
    number: int
    value: float = 0.0


def ends_s(
    capacities_bps: Sequence[float], flows: Sequence[Flow], changes: Sequence[Change] = ()
) -> dict[int, float]:
    """When each flow is done, by flow number; those that are removed or never end are left out."""
    links = FluidLinks(capacities_bps)
    begins = sorted((flow.begin_s, number) for number, flow in enumerate(flows))
    rest = sorted(changes, key=lambda change: change.at_s)
    ends: dict[int, float] = {}
    begun: set[int] = set()
    while begins or rest or links.next_s() < inf:
        now_s = min(links.next_s(), *(at_s for at_s, _ in begins[:1]), *(each.at_s for each in rest[:1]), inf)
        done = links.advance(now_s)
        ends |= dict.fromkeys(done, now_s)
        begun -= set(done)
        while begins and begins[0][0] <= now_s:
            number = begins.pop(0)[1]
            flow = flows[number]
            links.add(number, flow.bits, flow.route, flow.cap_bps, now_s)
            begun.add(number)
        while rest and rest[0].at_s <= now_s:
            apply(links, rest.pop(0), begun, now_s)
    return ends


def apply(links: FluidLinks, change: Change, begun: set[int], now_s: float) -> None:
    if change.kind == "capacity":
        links.set_capacity(change.number, change.value, now_s)
    elif change.number in begun:
        if change.kind == "cap":
            links.set_cap(change.number, change.value, now_s)
        else:
            links.remove(change.number, now_s)
            begun.discard(change.number)


# ------------------------------------------------------------------------------------- checked by hand


def test_two_equal_flows_take_twice_as_long_as_one() -> None:
    assert ends_s([8.0], [Flow(0, 16, (0,))]) == {0: 2}
    assert ends_s([8.0], [Flow(0, 16, (0,)), Flow(0, 16, (0,))]) == {0: 4, 1: 4}


def test_a_newcomer_slows_down_and_a_leaver_speeds_up() -> None:
    # 4 bits alone at 8 bit/s until 0.5 s; both at 4 until flow 1 has its 8 bits at 2.5 s; then 4 bits at 8.
    assert ends_s([8.0], [Flow(0, 16, (0,)), Flow(0.5, 8, (0,))]) == {0: 3.0, 1: 2.5}


def test_what_a_capped_flow_leaves_goes_to_the_others() -> None:
    # 1 + 2 x 3.5 = 8 bit/s.
    flows = [Flow(0, 2, (0,), 1), Flow(0, 7, (0,)), Flow(0, 7, (0,), 4)]
    assert ends_s([8.0], flows) == {0: 2, 1: 2, 2: 2}


def test_equal_caps_that_just_fill_the_link_are_reached() -> None:
    assert ends_s([8.0], [Flow(0, 4, (0,), 2)] * 4) == dict.fromkeys(range(4), 2)
    assert ends_s([8.0], [Flow(0, 4, (0,), 4)] * 4) == dict.fromkeys(range(4), 2)


def test_a_cell_and_the_server_share_one_after_the_other() -> None:
    # Links: server 10, cell 4. Two in the cell get 2 each, the one outside the remaining 6 bit/s.
    flows = [Flow(0, 4, (0, 1)), Flow(0, 4, (0, 1)), Flow(0, 12, (0,))]
    assert ends_s([10.0, 4.0], flows) == {0: 2, 1: 2, 2: 2}


def test_bertsekas_and_gallagers_example() -> None:
    # Data Networks, section 6.5.2, in kind: three share link 0; one of them shares link 1 with a fourth.
    links = FluidLinks([1.0, 2.0])
    for flow, route in enumerate([(0,), (0,), (0, 1), (1,)]):
        links.add(flow, 100, route, inf, 0)
    assert [links.rate_bps(flow) for flow in range(4)] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 5 / 3])


def test_flows_stand_still_during_an_outage() -> None:
    changes = [Change(1, "capacity", 0, 0.0), Change(11, "capacity", 0, 4.0)]
    assert ends_s([8.0], [Flow(0, 16, (0,))], changes) == {0: 13}
    assert ends_s([8.0, 8.0], [Flow(0, 16, (0, 1))], changes) == {0: 13}


def test_a_flow_whose_cap_is_zero_stands_still_alone() -> None:
    changes = [Change(1, "cap", 0, 0.0), Change(3, "cap", 0, inf)]
    # 4 bits each until 1 s, flow 1 alone until 2.5 s, flow 0 goes on at 3 s.
    assert ends_s([8.0], [Flow(0, 16, (0,)), Flow(0, 16, (0,))], changes) == {0: 4.5, 1: 2.5}


def test_a_flow_without_bits_is_done_at_once_even_during_an_outage() -> None:
    assert ends_s([0.0], [Flow(1.5, 0, (0,)), Flow(1.5, 8, (0,))]) == {0: 1.5}


def test_what_is_left_of_a_removed_flow() -> None:
    links = FluidLinks([8.0])
    links.add(0, 16, (0,), inf, 0)
    links.add(1, 0, (0,), inf, 0)
    assert links.remove(1, 0) == 0
    assert links.remove(0, 1.5) == 4
    assert links.next_s() == inf
    assert links.advance(2.0) == []


def test_flows_that_end_together_are_told_together_in_order_of_number() -> None:
    links = FluidLinks([8.0, 4.0, 8.0, 8.0])
    links.add(7, 8, (0,), inf, 0)
    links.add(3, 4, (1,), inf, 0)
    links.add(5, 1, (2, 3), 1, 0)
    links.add(9, 0, (2,), 1, 0)
    assert links.next_s() == 0
    assert links.advance(0) == [9]
    assert links.next_s() == 1
    assert links.advance(1) == [3, 5, 7]


def test_books_say_what_was_carried_and_how_full_a_link_was() -> None:
    links = FluidLinks([8.0, 100.0, 1.0])
    links.add(0, 16, (0, 1), 4, 0)
    links.advance(links.next_s())
    assert links.books.carried_bits.tolist() == [16, 16, 0]
    assert links.books.peak_utilisation.tolist() == [0.5, 0.04, 0]


def test_time_goes_neither_backwards_nor_past_an_end() -> None:
    links = FluidLinks([8.0])
    links.add(0, 16, (0,), inf, 1)
    with pytest.raises(ValueError, match=r"backwards, from 1 s to 0\.5 s"):
        links.advance(0.5)
    for coupled in ((0,), (0, 1)):
        links = FluidLinks([8.0, 9.0])
        links.add(0, 16, coupled, inf, 0)
        with pytest.raises(ValueError, match=r"the end of a flow at 2\.0 s, not to 3 s"):
            links.advance(3)


@pytest.mark.parametrize(
    ("bits", "route", "cap_bps"), [(-1, (0,), 1), (inf, (0,), 1), (1, (), 1), (1, (0, 0), 1), (1, (0,), -1)]
)
def test_what_cannot_be_a_flow_is_refused(bits: float, route: Route, cap_bps: float) -> None:
    with pytest.raises(ValueError, match="flow 0 cannot be"):
        FluidLinks([1.0]).add(0, bits, route, cap_bps, 0)


def test_other_nonsense_is_refused() -> None:
    links = FluidLinks([1.0])
    links.add(0, 1, (0,), inf, 0)
    with pytest.raises(ValueError, match="in progress already"):
        links.add(0, 1, (0,), inf, 0)
    with pytest.raises(ValueError, match="a cap must be zero or more, got -1"):
        links.set_cap(0, -1, 0)
    for capacity_bps in (-1, inf):
        with pytest.raises(ValueError, match="a capacity must be finite and zero or more"):
            links.set_capacity(0, capacity_bps, 0)
        with pytest.raises(ValueError, match="a capacity must be finite and zero or more"):
            FluidLinks([capacity_bps])


# ----------------------------------------------------------------- against a solver of another make


def fair_rates(
    capacities: Sequence[Fraction], routes: Sequence[Route], caps: Sequence[Fraction | None]
) -> list[Fraction]:
    """Max-min fair rates in fractions: every cap is a link of its own, and one link is filled at a time."""
    room = dict(enumerate(capacities))
    there = [set(route) for route in routes]
    for flow, cap in enumerate(caps):
        if cap is not None:
            room[len(capacities) + flow] = cap
            there[flow].add(len(capacities) + flow)
    rates: dict[int, Fraction] = {}
    while len(rates) < len(routes):
        waiting = {
            link: [f for f in range(len(routes)) if link in there[f] and f not in rates] for link in room
        }
        share, link = min((room[link] / len(flows), link) for link, flows in waiting.items() if flows)
        for flow in waiting[link]:
            rates[flow] = share
            for crossed in there[flow]:
                room[crossed] -= share
    return [rates[flow] for flow in range(len(routes))]


rates_bps = st.integers(1, 1000).map(lambda value: value / 8)
maybe_zero = st.sampled_from([0.0]) | rates_bps
caps_bps = st.sampled_from([inf, 0.0, 2.0, 2.0, 40.0]) | rates_bps


@st.composite
def topologies(draw: st.DrawFn) -> tuple[list[float], list[Route], list[float]]:
    links = draw(st.integers(1, 5))
    capacities = draw(st.lists(maybe_zero, min_size=links, max_size=links))
    route = st.lists(st.integers(0, links - 1), min_size=1, max_size=3, unique=True).map(tuple)
    alone = st.integers(0, links - 1).map(lambda link: (link,))
    routes = draw(st.lists(draw(st.sampled_from([route, alone])), min_size=1, max_size=12))
    caps = draw(st.lists(caps_bps, min_size=len(routes), max_size=len(routes)))
    return capacities, routes, caps


@given(topologies())
@settings(max_examples=200, deadline=None)
def test_rates_are_max_min_fair(topology: tuple[list[float], list[Route], list[float]]) -> None:
    capacities, routes, caps = topology
    links = FluidLinks(capacities)
    for flow, (route, cap_bps) in enumerate(zip(routes, caps, strict=True)):
        links.add(flow, 1e9, route, cap_bps, 0)
    wanted = fair_rates([Fraction(capacity) for capacity in capacities], routes, [_cap(cap) for cap in caps])
    assert [links.rate_bps(flow) for flow in range(len(routes))] == pytest.approx(
        [float(rate) for rate in wanted], rel=1e-9, abs=1e-9
    )


def reference_ends(
    capacities_bps: Sequence[float], flows: Sequence[Flow], changes: Sequence[Change]
) -> dict[int, float]:
    """The same fluid in fractions, by solving everything anew at every event."""
    capacities = [Fraction(capacity) for capacity in capacities_bps]
    caps = {number: _cap(flow.cap_bps) for number, flow in enumerate(flows)}
    left: dict[int, Fraction] = {}
    ends: dict[int, float] = {}
    now = Fraction(0)
    todo = [Change(flow.begin_s, "add", number) for number, flow in enumerate(flows)]
    todo = sorted([*todo, *changes], key=lambda change: (change.at_s, change.kind != "add"))
    while True:
        numbers = sorted(left)
        fair = fair_rates(capacities, [flows[n].route for n in numbers], [caps[n] for n in numbers])
        rates = dict(zip(numbers, fair, strict=True))
        times = [now + left[n] / rate for n, rate in rates.items() if rate]
        times += [Fraction(change.at_s) for change in todo[:1]]
        if not times:
            return ends
        seconds, now = min(times) - now, min(times)
        left = {n: bits - rates[n] * seconds for n, bits in left.items()}
        while todo and todo[0].at_s == now:
            change = todo.pop(0)
            if change.kind == "add":
                left[change.number] = Fraction(flows[change.number].bits)
            elif change.kind == "capacity":
                capacities[change.number] = Fraction(change.value)
            elif change.kind == "cap":
                caps[change.number] = _cap(change.value) if change.number in left else caps[change.number]
            else:
                left.pop(change.number, None)
        ends |= {n: float(now) for n, bits in left.items() if not bits}
        left = {n: bits for n, bits in left.items() if bits}


def _cap(cap_bps: float) -> Fraction | None:
    return None if cap_bps == inf else Fraction(cap_bps)


times_s = st.integers(0, 80).map(lambda value: value / 8)
# Not at the instant when a flow ends: there rounding decides whether it is still to be stopped.
odd_times_s = st.integers(0, 80).map(lambda value: (value + 1 / 1021) / 7.987)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[float], list[Flow], list[Change]]:
    capacities, routes, caps = draw(topologies())
    flows = [
        Flow(draw(times_s), draw(st.integers(0, 2000)) / 8, route, cap_bps)
        for route, cap_bps in zip(routes, caps, strict=True)
    ]
    change = st.one_of(
        st.builds(Change, odd_times_s, st.just("capacity"), st.integers(0, len(capacities) - 1), maybe_zero),
        st.builds(Change, odd_times_s, st.just("cap"), st.integers(0, len(flows) - 1), caps_bps),
        st.builds(Change, odd_times_s, st.just("remove"), st.integers(0, len(flows) - 1)),
    )
    return capacities, flows, draw(st.lists(change, max_size=6))


@given(histories())
@settings(max_examples=150, deadline=None)
def test_flows_end_when_the_fluid_in_fractions_ends_them(
    history: tuple[list[float], list[Flow], list[Change]],
) -> None:
    capacities, flows, changes = history
    assert ends_s(capacities, flows, changes) == pytest.approx(
        reference_ends(capacities, flows, changes), rel=1e-9, abs=1e-9
    )


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_link_alone_and_one_in_a_mesh_give_the_same_ends(
    history: tuple[list[float], list[Flow], list[Change]],
) -> None:
    capacities, flows, changes = history
    alone = [Flow(flow.begin_s, flow.bits, flow.route[:1], flow.cap_bps) for flow in flows]
    wide = len(capacities)
    meshed = [Flow(flow.begin_s, flow.bits, (*flow.route, wide), flow.cap_bps) for flow in alone]
    assert ends_s(capacities, alone, changes) == pytest.approx(
        ends_s([*capacities, 1e6], meshed, changes), rel=1e-9, abs=1e-9
    )


@given(histories())
@settings(max_examples=50, deadline=None)
def test_twice_the_bits_at_twice_the_rates_take_the_same_seconds(
    history: tuple[list[float], list[Flow], list[Change]],
) -> None:
    capacities, flows, changes = history
    twice = [Flow(flow.begin_s, 2 * flow.bits, flow.route, 2 * flow.cap_bps) for flow in flows]
    faster = [Change(change.at_s, change.kind, change.number, 2 * change.value) for change in changes]
    once = ends_s(capacities, flows, changes)
    assert ends_s([2 * capacity for capacity in capacities], twice, faster) == once


@given(topologies(), st.lists(st.integers(0, 2000), min_size=12, max_size=12), st.integers(0, 11))
@settings(max_examples=100, deadline=None)
def test_every_bit_that_is_sent_is_in_the_books_of_each_link_on_its_way(
    topology: tuple[list[float], list[Route], list[float]], sizes: list[int], stopped: int
) -> None:
    capacities, routes, caps = topology
    links = FluidLinks(capacities)
    sent = np.zeros(len(capacities))
    for flow, (route, cap_bps) in enumerate(zip(routes, caps, strict=True)):
        links.add(flow, sizes[flow], route, cap_bps, 0)
    standing = set(range(len(routes))) - set(links.advance(0))
    while (now_s := links.next_s()) < inf:
        done = links.advance(now_s)
        standing -= set(done)
        for flow in done:
            sent[list(routes[flow])] += sizes[flow]
        if stopped in standing:
            standing.remove(stopped)
            sent[list(routes[stopped])] += sizes[stopped] - links.remove(stopped, now_s)
    assert all(links.rate_bps(flow) == 0 for flow in standing)
    np.testing.assert_allclose(links.books.carried_bits, sent, rtol=1e-9, atol=1e-6)
    assert (links.books.peak_utilisation <= 1 + 1e-12).all()


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(1, 64)), min_size=1, max_size=20))
def test_ends_on_dyadic_instants_are_exact(flows: list[tuple[int, int]]) -> None:
    # Each alone at its cap, which is a power of two.
    begun = [Flow(begin / 8, bits, (0,), 4) for begin, bits in flows]
    assert ends_s([4.0 * len(begun)], begun) == {
        n: flow.begin_s + flow.bits / 4 for n, flow in enumerate(begun)
    }


def test_a_link_that_is_never_idle_stays_exact() -> None:
    # A flow of 1 s begins at every second, and half a second's bits lie on the link: each ends after 2 s.
    links = FluidLinks([0.3])
    links.add(-1, 0.15, (0,), inf, 0)
    for number in range(4000):
        links.add(number, 0.3, (0,), inf, number)
        assert links.next_s() == pytest.approx(number + 1, rel=1e-14)
        assert links.advance(number + 1) == [number - 1]


# ------------------------------------------------------------------------------ the queue M/G/1-PS

LOAD = 0.6
REPLICATIONS = 25
CUSTOMERS, WARM = 1500, 300
SIZES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "exponential": lambda rng, n: rng.exponential(1.0, n),
    "nine in ten small": lambda rng, n: np.where(rng.random(n) < 0.9, 0.5, 5.5),
}


def replication(law: str, seed: int) -> tuple[float, float, float]:
    """Mean sojourn, mean number of flows, and utilisation; one bit takes one second, the mean size is one."""
    rng = np.random.default_rng([seed, sorted(SIZES).index(law)])
    begins = np.cumsum(rng.exponential(1 / LOAD, CUSTOMERS)).tolist()
    flows = [Flow(begin, bits, (0,)) for begin, bits in zip(begins, SIZES[law](rng, CUSTOMERS), strict=True)]
    ends = ends_s([1.0], flows)
    first_s, last_s = begins[WARM], begins[-1]
    seconds = last_s - first_s
    sojourns = [ends[n] - begins[n] for n in range(WARM, CUSTOMERS)]
    changes = sorted([(begin, 1) for begin in begins] + [(end, -1) for end in ends.values()])
    present, number = np.cumsum([step for _, step in changes]), np.array([at_s for at_s, _ in changes])
    inside = np.diff(np.clip(number, first_s, last_s))
    return (
        float(np.mean(sojourns)),
        float(inside @ present[:-1] / seconds),
        float(inside @ (present[:-1] > 0) / seconds),
    )


@pytest.fixture(scope="module", params=SIZES)
def replications(request: pytest.FixtureRequest) -> np.ndarray:
    """Sojourn, number present and utilisation, [replications, 3]."""
    return np.array([replication(request.param, seed) for seed in range(REPLICATIONS)])


def within_three_standard_errors(values: np.ndarray, expected: float) -> bool:
    return bool(abs(values.mean() - expected) <= 3 * values.std(ddof=1) / sqrt(len(values)))


def test_mean_sojourn_is_that_of_processor_sharing_whatever_the_sizes(replications: np.ndarray) -> None:
    assert within_three_standard_errors(replications[:, 0], 1 / (1 - LOAD))


def test_the_number_of_flows_follows_littles_law(replications: np.ndarray) -> None:
    sojourn, present, busy = replications.T
    assert within_three_standard_errors(present - LOAD * sojourn, 0)
    assert within_three_standard_errors(present, LOAD / (1 - LOAD))
    assert within_three_standard_errors(busy, LOAD)
