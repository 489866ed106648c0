"""Visits carried out stage by stage: shared links, devices that leave and come back, failures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.devices.network import Direction
from edgesim.devices.outages import Listed, Outage, Outages
from edgesim.selection.all import All
from edgesim.server.policy import Cancel, Dispatch, Timer
from edgesim.simulation.surroundings import Calm
from tests.fakes import Script, TabledCost, simulate

Numbers = NDArray[np.int64]
Windows = dict[int, list[tuple[float, float]]]


@dataclass
class Present(Calm):
    """Devices that are there in these windows; others always are."""

    windows: Windows
    pausing: bool = False
    always: bool = field(default=False, init=False)

    @property
    def may_pause(self) -> bool:  # type: ignore[override]
        return self.pausing

    def present(self, devices: Numbers, at_s: float) -> NDArray[np.bool_]:
        return self.until_s(devices, at_s) > at_s

    def until_s(self, devices: Numbers, at_s: float) -> NDArray[np.float64]:
        return np.array([self._of(device, at_s, 1, at_s) for device in devices.tolist()])

    def first_s(self, devices: Numbers, at_s: float) -> float:
        return float(self.next_s(devices, at_s).min(initial=np.inf))

    def next_s(self, devices: Numbers, at_s: float) -> NDArray[np.float64]:
        return np.array([max(at_s, self._of(device, at_s, 0, np.inf)) for device in devices.tolist()])

    def pauses(self, devices: Numbers) -> NDArray[np.bool_]:
        return np.full(len(devices), self.pausing)

    def present_s(
        self, devices: Numbers, start_s: NDArray[np.float64], end_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        spans = zip(devices.tolist(), start_s.tolist(), end_s.tolist(), strict=True)
        return np.array([self._within(device, begin_s, over_s) for device, begin_s, over_s in spans])

    def _within(self, device: int, begin_s: float, over_s: float) -> float:
        windows = self.windows.get(device, [(0.0, np.inf)])
        return sum(max(0.0, min(over_s, end) - max(begin_s, start)) for start, end in windows)

    def _of(self, device: int, at_s: float, side: int, otherwise: float) -> float:
        """An edge of the window that holds a time or, for the begin, of the next one."""
        for window in self.windows.get(device, [(0.0, np.inf)]):
            if at_s < window[1] and (side == 0 or window[0] <= at_s):
                return window[side]
        return otherwise


@dataclass
class Server(Calm):
    """All downloads cross link 0 and all uploads link 1, of one capacity each."""

    down_bps: float
    up_bps: float

    @property
    def capacities_bps(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.down_bps, self.up_bps)

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:  # noqa: ARG002
        return (0,) if direction == "down" else (1,)


@dataclass
class Mishap(Calm):
    """Device 0 fails after so many seconds of work; the update of device 1 arrives corrupted."""

    after_s: float = np.inf
    ever: bool = field(default=True, init=False)

    def failure_s(self, devices: Numbers, visits: Numbers) -> NDArray[np.float64]:
        return np.where((devices == 0) & (visits == 0), self.after_s, np.inf)

    def corrupted(self, devices: Numbers, visits: Numbers) -> NDArray[np.bool_]:  # noqa: ARG002
        return devices == 1


# A transfer of x "seconds" is one of x bits at 1 bit/s.
COST = TabledCost(lambda device, visit: (1.0, 4.0, 1.0))  # noqa: ARG005
TIMES = ("download_s", "compute_s", "upload_s", "paused_s", "finished_s", "outcome")


def test_a_device_that_leaves_loses_its_visit_at_that_moment() -> None:
    run = simulate(COST, devices=2, selector=All(), stays=Present({0: [(0, 3)]}))
    assert run.visits(*TIMES) == [
        (1.0, None, None, 0.0, 3.0, "dropped"),
        (1.0, 4.0, 1.0, 0.0, 6.0, "aggregated"),
    ]
    assert run.column("energy_j") == [6.0, 12.0]


def test_a_device_that_pauses_takes_its_visit_up_again() -> None:
    windows: Windows = {0: [(0, 0.5), (2, 4), (10, 100)]}
    run = simulate(COST, devices=1, stays=Present(windows, pausing=True))
    # Download until 0.5 and from 2 to 2.5, training to 4 (1.5 s of it) and from 10 to 12.5, upload to 13.5.
    assert run.visits(*TIMES) == [(1.0, 4.0, 1.0, 7.5, 13.5, "aggregated")]
    assert run.column("energy_j") == [12.0]  # 2 W, and nothing while it is away


def test_a_device_that_never_comes_back_has_lost_its_visit() -> None:
    run = simulate(COST, devices=2, selector=All(), stays=Present({0: [(0, 3)]}, pausing=True))
    assert run.column("outcome") == ["dropped", "aggregated"]
    assert run.column("finished_s") == [3.0, 6.0]


def test_who_has_finished_when_it_leaves_has_delivered() -> None:
    for pausing in (False, True):
        run = simulate(COST, devices=1, stays=Present({0: [(0, 6)]}, pausing))
        assert run.visits(*TIMES) == [(1.0, 4.0, 1.0, 0.0, 6.0, "aggregated")]


def test_nobody_is_sent_out_while_away_and_a_round_waits_for_somebody() -> None:
    stays = Present({0: [(2.5, 20)], 1: [(7, 20)]})
    run = simulate(COST, devices=2, selector=All(), stays=stays, rounds=2)
    assert run.visits("device", "dispatched_s", "finished_s") == [
        (0, 2.5, 8.5),
        (0, 8.5, 14.5),
        (1, 8.5, 14.5),
    ]


def test_where_nobody_ever_comes_the_run_ends() -> None:
    run = simulate(COST, devices=1, stays=Present({0: []}), rounds=2)
    assert (run.reason, run.column("dispatch")) == ("drained", [])


def test_a_failure_comes_after_its_seconds_of_work_pauses_left_out() -> None:
    windows: Windows = {0: [(0, 2), (5, 100)]}
    run = simulate(COST, devices=1, stays=Present(windows, pausing=True), mishaps=Mishap(3.0), dispatches=1)
    assert run.visits(*TIMES) == [(1.0, None, None, 3.0, 6.0, "dropped")]
    run = simulate(COST, devices=1, mishaps=Mishap(3.0), dispatches=1)
    assert run.visits(*TIMES) == [(1.0, None, None, 0.0, 3.0, "dropped")]


def test_a_corrupted_update_arrives_and_is_rejected() -> None:
    for stays in (Calm(), Present({}, pausing=True)):
        run = simulate(COST, devices=2, selector=All(), mishaps=Mishap(), stays=stays)
        assert run.visits(*TIMES)[1] == (1.0, 4.0, 1.0, 0.0, 6.0, "rejected")
        assert run.column("bytes_up") == [500_000, 500_000]


def test_two_downloads_share_the_servers_uplink() -> None:
    run = simulate(COST, devices=2, selector=All(), routes=Server(1.0, 2.0))
    assert run.visits(*TIMES) == [(2.0, 4.0, 1.0, 0.0, 7.0, "aggregated")] * 2


def test_a_transfer_speeds_up_when_another_leaves_the_link() -> None:
    cost = TabledCost(lambda device, visit: (1.0, 1.0, 1.0 + 2 * device))  # noqa: ARG005
    run = simulate(cost, devices=2, selector=All(), routes=Server(2.0, 1.0))
    # From 2 s on both upload at half speed; device 0 has its bit through at 4 s, device 1 then sends 2 more.
    assert run.column("finished_s") == [4.0, 6.0]


def test_who_pauses_leaves_the_link_to_the_others() -> None:
    cost = TabledCost(lambda device, visit: (2.0, 1.0, 0.0))  # noqa: ARG005
    stays = Present({0: [(0, 1), (5, 100)]}, pausing=True)
    run = simulate(cost, devices=2, selector=All(), routes=Server(1.0, 1.0), stays=stays)
    # Half a bit each by 1 s. Device 1 has the link alone until 2.5 s; device 0 from 5 s to 6.5 s.
    assert run.column("finished_s") == [7.5, 3.5]
    assert run.column("download_s") == [2.5, 2.5]


def test_a_cancelled_visit_leaves_the_link() -> None:
    script = Script([Dispatch([0, 1], 0), Timer(1.0, 0)], [Cancel([0])])
    cost = TabledCost(lambda device, visit: (2.0, 1.0, 0.0))  # noqa: ARG005
    run = simulate(cost, devices=2, policy=script, routes=Server(1.0, 1.0), time_s=50.0)
    assert run.visits("finished_s", "outcome") == [(1.0, "cancelled"), (3.5, "discarded")]


def test_an_unfinished_visit_tells_how_far_it_is() -> None:
    run = simulate(COST, devices=1, routes=Server(1.0, 1.0), time_s=3.0)
    assert run.visits(*TIMES) == [(1.0, None, None, 0.0, None, "unfinished")]
    assert run.column("energy_j") == [6.0]


quarters = st.integers(0, 16).map(lambda n: n / 4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(quarters, quarters, quarters), min_size=1, max_size=6), st.integers(1, 4))
def test_where_nothing_is_in_the_way_stages_take_what_whole_visits_take(
    table: list[tuple[float, float, float]], rounds: int
) -> None:
    cost = TabledCost(lambda device, visit: (table[device][0], table[device][1] + visit, table[device][2]))
    direct, by_stages = (
        simulate(cost, devices=len(table), selector=All(), stays=stays, rounds=rounds)
        for stays in (Calm(), Present({}, pausing=True))
    )
    assert direct.tables == by_stages.tables
    wide = simulate(cost, devices=len(table), selector=All(), routes=Server(1e9, 1e9), rounds=rounds)
    assert wide.column("finished_s") == pytest.approx(direct.column("finished_s"), abs=1e-9)


@dataclass
class Broken(Calm):
    """The server restarts, its links are down, those of the devices of entry 0 are down."""

    server: Outages = field(default_factory=Outages)
    server_links: Outages = field(default_factory=Outages)
    of_entry_0: Outages = field(default_factory=Outages)
    interrupt: bool = True

    @property
    def links(self) -> tuple[Outages, ...]:
        return (self.of_entry_0, Outages())

    @property
    def faults(self) -> Broken:
        return self


def down(*windows: tuple[float, float]) -> Outages:
    return Outages(tuple(Outage(Listed((begin,)), end - begin) for begin, end in windows))


def test_while_a_link_is_down_transfers_stand_still_and_training_goes_on() -> None:
    run = simulate(
        COST, devices=2, selector=All(), mishaps=Broken(of_entry_0=down((0.5, 1.5), (2, 3), (6, 9)))
    )
    # Device 0: half of the download, an outage of 1 s, the other half; training through the next outage; its
    # upload begins at 6 s and waits for three.
    assert run.visits(*TIMES) == [
        (2.0, 4.0, 4.0, 0.0, 10.0, "aggregated"),
        (1.0, 4.0, 1.0, 0.0, 6.0, "aggregated"),
    ]


def test_while_the_servers_links_are_down_nobody_transfers() -> None:
    run = simulate(COST, devices=2, selector=All(), mishaps=Broken(server_links=down((5.5, 7))))
    assert run.column("upload_s") == [2.5, 2.5]


def test_a_restart_loses_what_is_on_its_way_and_lets_the_rest_wait() -> None:
    cost = TabledCost(lambda device, visit: (1.0 + device, 4.0, 1.0))  # noqa: ARG005
    run = simulate(cost, devices=2, selector=All(), mishaps=Broken(server=down((1.5, 8))))
    # Device 0 trains by 1.5 s and delivers at 9 s; the download of device 1 is lost.
    assert run.visits(*TIMES) == [
        (1.0, 4.0, 4.0, 0.0, 9.0, "aggregated"),
        (None, None, None, 0.0, 1.5, "dropped"),
    ]


def test_what_stands_still_on_a_shared_link_leaves_it_to_the_others() -> None:
    cost = TabledCost(lambda device, visit: (2.0, 1.0, 0.0))  # noqa: ARG005
    broken = Broken(of_entry_0=down((1, 5)))
    run = simulate(cost, devices=2, selector=All(), routes=Server(1.0, 1.0), mishaps=broken)
    # Half a bit each by 1 s. Device 1 has the link alone until 2.5 s; device 0 from 5 s to 6.5 s.
    assert run.column("finished_s") == [7.5, 3.5]


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 8.0), st.lists(st.floats(0.01, 3.0), min_size=2, max_size=8))
def test_a_failure_ends_a_visit_however_its_seconds_round(after_s: float, lengths: list[float]) -> None:
    edges = np.cumsum([0.0, *lengths, 100.0, 100.0]).tolist()
    windows: Windows = {0: list(zip(edges[::2], edges[1::2], strict=False))}
    run = simulate(
        COST, devices=1, stays=Present(windows, pausing=True), mishaps=Mishap(after_s), dispatches=1
    )
    assert run.column("outcome") == ["dropped" if after_s < 6 else "aggregated"]
