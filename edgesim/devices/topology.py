"""Which shared links there are, and which of them a device's transfers cross."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.fleet import FleetGroup
from edgesim.devices.network import Direction, ServerLinks


@dataclass(frozen=True, slots=True)
class _Block:
    """Links of one capacity, numbered in a row, each shared by as many devices in a row.

    Attributes:
        direction: of the transfers that cross them.
        name: what one is called; {} stands for the number of its cell.
        begin: first device.
        end: first device behind the last.
        devices: how many share one.
        first_cell: number of the cell of the first device.
        first_link: number of its link.
        capacity_bps: of each link.
    """

    direction: Direction
    name: str
    begin: int
    end: int
    devices: int
    first_cell: int
    first_link: int
    capacity_bps: float

    def __len__(self) -> int:
        return _cells(self.end - self.begin, self.devices)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """The shared links of a federation, numbered from zero: the server's, then those of cells.

    Attributes:
        capacities_bps: of each link, read-only, [links].
        multicast_link: the link that the server sends parts over once which several devices need; such
            downloads cross it as one. Null if the server does not, or has no limit.
    """

    capacities_bps: NDArray[np.float64]
    multicast_link: int | None
    _blocks: tuple[_Block, ...]

    @classmethod
    def of(cls, groups: Sequence[FleetGroup], server: ServerLinks) -> Self:
        """The links of a scenario. Those without a limit are none."""
        blocks = tuple(_blocks(groups, server))
        capacities_bps = np.repeat([block.capacity_bps for block in blocks], [len(block) for block in blocks])
        capacities_bps.flags.writeable = False
        multicast_link = 0 if server.multicast and server.uplink is not None else None
        return cls(capacities_bps, multicast_link, blocks)

    def route(self, direction: Direction, device: int) -> tuple[int, ...]:
        """The shared links that a transfer of this device crosses; a download goes `down`."""
        return tuple(
            block.first_link + (device - block.begin) // block.devices
            for block in self._blocks
            if block.direction == direction
            and block.begin <= device < block.end
            and block.first_link != self.multicast_link
        )

    def name(self, link: int) -> str:
        """What a link is called: `server uplink`, `cell 3 downlink`."""
        block = self._blocks[bisect_right(self._blocks, link, key=lambda block: block.first_link) - 1]
        return block.name.format(block.first_cell + link - block.first_link)


def _blocks(groups: Sequence[FleetGroup], server: ServerLinks) -> Iterator[_Block]:
    """The blocks in the order of their links, of which the unlimited ones are left out."""
    first_link = 0
    for block in _limits(groups, server):
        if block.capacity_bps < inf:
            yield replace(block, first_link=first_link)
            first_link += len(block)


def _limits(groups: Sequence[FleetGroup], server: ServerLinks) -> Iterator[_Block]:
    """Everything that may be a limit, an infinite one too. The server's uplink carries the downloads."""
    devices = sum(group.count for group in groups)
    yield _Block("down", "server uplink", 0, devices, devices, 0, 0, server.uplink or inf)
    yield _Block("up", "server downlink", 0, devices, devices, 0, 0, server.downlink or inf)
    begin = first_cell = 0
    for group in groups:
        end = begin + group.count
        if group.cell is not None:
            at = (begin, end, group.cell.devices, first_cell, 0)
            yield _Block("down", "cell {} downlink", *at, group.cell.downlink or inf)
            yield _Block("up", "cell {} uplink", *at, group.cell.uplink or inf)
            first_cell += _cells(group.count, group.cell.devices)
        begin = end


def _cells(devices: int, each: int) -> int:
    return -(-devices // each)
