"""Parts that several devices need, sent once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesim.devices.network import Direction
from edgesim.devices.outages import Listed, Outage, Outages
from edgesim.learner import Order, Part, Workload
from edgesim.selection.all import All
from edgesim.simulation.surroundings import Calm
from tests.fakes import WORKLOAD, FixedWorkload, TabledCost, simulate

BYTES = {"first": 1, "second": 2}
NEEDS = (("first",), ("first", "second"), ("first", "second"))


@dataclass
class Nested(FixedWorkload):
    """Device 0 needs the first part, all others both."""

    def assign(self, orders: Sequence[Order]) -> Sequence[Workload]:
        super().assign(orders)
        parts = [tuple(Part(key, BYTES[key]) for key in NEEDS[order.device]) for order in orders]
        return [replace(WORKLOAD, parts_down=mine) for mine in parts]


@dataclass
class Uplink(Calm):
    """A server that multicasts at 8 bit/s, and devices with links of their own alone."""

    multicast_link: int | None = 0
    capacities_bps: tuple[float, ...] = (8.0,)

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:  # noqa: ARG002
        return (0,) if direction == "down" and self.multicast_link is None else ()


# Own links of 1 bit/s in the cost table's measure: device i downloads for so many seconds by itself.
COST = TabledCost(lambda device, visit: ((0.5, 2.0, 6.0)[device], 1.0, 0.0))  # noqa: ARG005


def test_each_part_crosses_the_uplink_once_and_the_smallest_download_comes_first() -> None:
    run = simulate(COST, devices=3, selector=All(), learner=Nested(), routes=Uplink())
    # The first part is through at 1 s, the second at 3 s. Device 2 is held up by its own link alone.
    assert run.column("download_s") == [1.0, 3.0, 6.0]
    assert run.column("finished_s") == [2.0, 4.0, 7.0]
    assert run.simulation.links.books.carried_bits.tolist() == [24.0]
    assert run.column("bytes_down") == [1, 3, 3]


def test_the_next_batch_is_a_stream_of_its_own() -> None:
    run = simulate(COST, devices=2, selector=All(), learner=Nested(), routes=Uplink(), rounds=2)
    assert run.column("download_s") == [1.0, 3.0] * 2
    assert run.simulation.links.books.carried_bits.tolist() == [48.0]


def test_a_server_that_is_cut_off_goes_on_where_it_was() -> None:
    @dataclass
    class CutOff(Calm):
        interrupt: bool = True
        server: Outages = Outages()  # noqa: RUF009
        server_links: Outages = Outages((Outage(Listed((0.25,)), 4.0),))  # noqa: RUF009
        links: tuple[Outages, ...] = (Outages(),) * 3

        @property
        def faults(self) -> CutOff:
            return self

    run = simulate(COST, devices=2, selector=All(), learner=Nested(), routes=Uplink(), mishaps=CutOff())
    assert run.column("download_s") == [5.0, 7.0]
