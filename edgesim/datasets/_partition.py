"""How training samples are dealt to devices: the label distributions that papers use (algorithms 2).

A partition gives every sample to exactly one client and every client at least one sample; `Iid` alone may
draw with replacement, and `Natural` alone leave clients out. What cannot be met is an error, never something
else in its place. What a client holds is a shard; the coupling decides which device holds which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._by_class import Dirichlet, LabelsPerClient, Shards
from edgesim.datasets._coupling import couple
from edgesim.datasets._rule import Indices, PartitionRule, Pool, Split, impossible
from edgesim.errors import InputError, Problem
from edgesim.registry import Named, component


@component
class Iid(PartitionRule):
    """Equal random shares; one sample each, drawn with replacement, where clients outnumber samples."""

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shares whose sizes differ by one at most; see `PartitionRule.split`."""
        samples = len(pool.labels)
        if clients <= samples:
            return Split(tuple(np.array_split(generator.permutation(samples), clients)))
        drawn = generator.integers(samples, size=(clients, 1))
        note = f"{clients} clients share {samples} samples: iid drew one for each, with replacement"
        return Split(tuple(drawn), (note,))


@component
class Natural(PartitionRule):
    """Every shard is what one real client has: a writer's digits, a person's movements.

    Where there are more natural clients than shards, the first of a drawn order take part; the samples of the
    others are left out, and the deal says how many take part.

    Attributes:
        grouped: all natural clients take part, the drawn order being cut into groups whose numbers of clients
            differ by one at most; a shard is what one group has (FedGMR's 193 writers over 10 clients).
    """

    grouped: bool = False

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Samples of so many natural clients or groups, each client's in their order; see `PartitionRule`."""
        if pool.clients is None:
            raise impossible(
                "natural goes by whose each sample is, and this data set does not say (mnist, uci_har, "
                "shakespeare and others do, and files with client: COLUMN); choose another partition"
            )
        names, sizes = np.unique(pool.clients, return_counts=True)
        if clients > names.size:
            raise impossible(
                f"natural has {names.size} clients, but {clients} are wanted; use at most {names.size} "
                f"devices, or set clients to {names.size}, so that devices share them"
            )
        by_client = np.split(np.argsort(pool.clients, kind="stable"), np.cumsum(sizes)[:-1])
        order = generator.permutation(names.size)
        if self.grouped:
            groups = np.array_split(order, clients)
            return Split(tuple(np.concatenate([by_client[client] for client in group]) for group in groups))
        chosen = order[:clients]
        used = sizes[chosen].sum()
        note = f"natural: {clients} of {names.size} clients take part, with {used} of {sizes.sum()} samples"
        return Split(tuple(by_client[client] for client in chosen), (note,) if clients < names.size else ())


@dataclass(frozen=True, slots=True, eq=False)
class Deal:
    """Which device holds which samples.

    Attributes:
        shards: the indices of each shard's samples in the pool, int64.
        shard_of: the shard that each device holds, int64 [devices].
        notes: what a reader of the results has to know about it.
    """

    shards: tuple[Indices, ...]
    shard_of: Indices
    notes: tuple[str, ...] = ()

    def samples_of(self, device: int) -> Indices:
        """Indices of a device's samples in the pool."""
        return self.shards[int(self.shard_of[device])]


def _choices() -> dict[str, type[PartitionRule]]:
    return {
        "iid": Iid,
        "dirichlet": Dirichlet,
        "labels_per_client": LabelsPerClient,
        "shards": Shards,
        "natural": Natural,
    }


Partition = Annotated[PartitionRule, Named(_choices, "partition")]


def deal(
    partition: PartitionRule, pool: Pool, speed: NDArray[np.float64], generator: np.random.Generator
) -> Deal:
    """Deal the training pool to a fleet.

    Args:
        partition: the rule.
        pool: the training samples.
        speed: of each device in any unit, larger is faster, [devices].
        generator: the stream of the partition.

    Raises:
        InputError: more shards than devices, or the partition or the coupling does not exist for these data.
    """
    devices = len(speed)
    clients = devices if partition.clients is None else partition.clients
    if clients > devices:
        raise impossible(
            f"clients is {clients}, but there are {devices} devices and the data of the others would be "
            f"lost; give at most {devices}, or leave it out for one shard per device"
        )
    if pool.labels.ndim > 1:
        _check_sequences(partition)
    split = partition.split(pool, clients, generator)
    return Deal(split.shards, couple(partition.coupling, split.shards, pool.labels, speed), split.notes)


def _check_sequences(partition: PartitionRule) -> None:
    """Samples with a sequence of classes each have no class to go by.

    Raises:
        InputError: the partition or the coupling needs one.
    """
    many = "each sample of this data set has a sequence of them"
    if partition.by_class:
        raise impossible(f"goes by the class of a sample, but {many}; use natural or iid")
    if partition.coupling == "slow_have_rare_classes":
        message = f"goes by the classes of samples, but {many}; use independent or slow_have_more"
        raise InputError(Problem(message, path="dataset.partition.coupling"))
