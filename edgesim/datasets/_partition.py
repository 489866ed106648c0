"""How training samples are dealt to devices: the label distributions that papers use (algorithms 2).

A partition gives every sample to exactly one client and every client at least one sample; `Iid` alone may
draw with replacement, and `Natural` alone leave clients out. What cannot be met is an error, never something
else in its place. What a client holds is a shard; the coupling decides which device holds which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._coupling import Coupling, couple
from edgesim.errors import InputError, Problem
from edgesim.registry import Named, component
from edgesim.yaml_source import Count

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What a partition may know of the training samples.

    Attributes:
        labels: label of each sample, int64 [n].
        clients: natural client of each sample, int64 [n]; null where the data set knows of none.
    """

    labels: Indices
    clients: Indices | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The samples of each client.

    Attributes:
        shards: for each client the indices of its samples in the pool, int64.
        notes: what a reader of the results has to know about it.
    """

    shards: tuple[Indices, ...]
    notes: tuple[str, ...] = ()


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


@component
class PartitionRule(ABC):
    """What every partition has.

    Attributes:
        clients: number of shards, if fewer than devices; one for each device where absent.
        coupling: which device holds which shard, see `_coupling`.
    """

    clients: Count | None = None
    coupling: Coupling = "independent"

    @abstractmethod
    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Deal the samples to so many clients.

        Args:
            pool: the training samples.
            clients: number of shards.
            generator: the only source of chance.

        Raises:
            InputError: such a partition does not exist.
        """


@component
class Iid(PartitionRule):
    """Equal random shares; one sample each, drawn with replacement, where clients outnumber samples."""

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shares whose sizes differ by one at most; see `PartitionRule.split`."""
        if clients <= pool.labels.size:
            return Split(tuple(np.array_split(generator.permutation(pool.labels.size), clients)))
        drawn = generator.integers(pool.labels.size, size=(clients, 1))
        note = f"{clients} clients share {pool.labels.size} samples: iid drew one for each, with replacement"
        return Split(tuple(drawn), (note,))


@component
class Dirichlet(PartitionRule):
    """The shares of the clients in each class are drawn from a symmetric Dirichlet distribution (FedGMR).

    A client that comes out empty takes one random sample from the client that holds most (the first of
    equals), and the deal says how many did.

    Attributes:
        alpha: concentration: small is skewed, large is near iid.
    """

    # Far above, where the distribution has long been flat, its gamma draws overflow.
    alpha: Annotated[float, Field(gt=0, le=1e6)]

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shares that sum to each class; see `PartitionRule.split`."""
        if clients > pool.labels.size:
            raise _impossible(
                f"{clients} clients need at least one sample each, but there are {pool.labels.size}; "
                "set clients to fewer shards, or use iid"
            )
        held: list[list[Indices]] = [[] for _ in range(clients)]
        for samples in _shuffled_by_class(pool.labels, generator):
            shares = generator.dirichlet(np.full(clients, self.alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * samples.size).astype(np.int64)
            # Rounding favours places in the row, so the clients stand in another order for each class.
            for client, piece in zip(generator.permutation(clients), np.split(samples, cuts), strict=True):
                held[client].append(piece)
        shards = [np.concatenate(pieces) for pieces in held]
        moved = _fill_empty(shards, generator)
        note = f"dirichlet left {moved} of {clients} clients empty: each took a sample from the largest"
        return Split(tuple(shards), (note,) if moved else ())


@component
class LabelsPerClient(PartitionRule):
    """Every client holds exactly so many labels, every class is cut into equal pieces (HeteroFL's non-iid-2).

    With k labels, N clients and C classes, k N pieces are dealt and each class is cut into k N / C of them,
    rounded down or up at random. HeteroFL may deal a client one class twice; here its labels are distinct.

    Attributes:
        labels: labels of each client.
    """

    labels: Count

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Pieces of a class differ in size by one at most; see `PartitionRule.split`."""
        pools = _shuffled_by_class(pool.labels, generator)
        owners = self._owners(len(pools), clients, generator)
        held: list[list[Indices]] = [[] for _ in range(clients)]
        for samples, holders in zip(pools, owners, strict=True):
            if samples.size < len(holders):
                raise _impossible(
                    f"{self.labels} labels for each of {clients} clients cut a class of {samples.size} "
                    f"samples into {len(holders)} pieces; ask for fewer labels or clients"
                )
            for client, piece in zip(holders, np.array_split(samples, len(holders)), strict=True):
                held[client].append(piece)
        return Split(tuple(np.concatenate(pieces) for pieces in held))

    def _owners(self, classes: int, clients: int, generator: np.random.Generator) -> list[list[int]]:
        """The clients that hold each class.

        Each client in turn takes the labels with most pieces left, ties at random. That never gets stuck: no
        class ever has more pieces left than there are clients to come.
        """
        if self.labels > classes:
            raise _impossible(f"labels is {self.labels}, but the training data has {classes}; ask for fewer")
        if self.labels * clients < classes:
            raise _impossible(
                f"{clients} clients with {self.labels} labels each cannot hold all {classes} classes; "
                "ask for more labels or more clients"
            )
        least, rest = divmod(self.labels * clients, classes)
        left = np.full(classes, least)
        left[generator.permutation(classes)[:rest]] += 1
        owners: list[list[int]] = [[] for _ in range(classes)]
        for client in range(clients):
            taken = np.lexsort((generator.random(classes), -left))[: self.labels]
            left[taken] -= 1
            for label in taken:
                owners[label].append(client)
        return owners


@component
class Shards(PartitionRule):
    """Samples sorted by label are cut into equal shards, dealt at random (FedAvg's non-iid split of MNIST).

    Attributes:
        per_client: shards of each client.
    """

    per_client: Count = 2

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shards of consecutive labels; see `PartitionRule.split`."""
        total = self.per_client * clients
        if total > pool.labels.size:
            raise _impossible(
                f"{self.per_client} shards for each of {clients} clients are more than the "
                f"{pool.labels.size} training samples; ask for fewer shards or clients"
            )
        pieces = np.array_split(np.argsort(pool.labels, kind="stable"), total)
        hands = generator.permutation(total).reshape(clients, self.per_client)
        return Split(tuple(np.concatenate([pieces[piece] for piece in hand]) for hand in hands))


@component
class Natural(PartitionRule):
    """Every shard is what one real client has: a writer's digits, a person's movements.

    Where there are more natural clients than shards, the first of a drawn order take part; the samples of the
    others are left out, and the deal says how many take part.
    """

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Samples of so many natural clients, each in their order; see `PartitionRule.split`."""
        if pool.clients is None:
            raise _impossible(
                "natural goes by whose each sample is, and this data set does not say (mnist, uci_har, and "
                "files with client: COLUMN do); choose another partition"
            )
        names, sizes = np.unique(pool.clients, return_counts=True)
        if clients > names.size:
            raise _impossible(
                f"natural has {names.size} clients, but {clients} are wanted; use at most {names.size} "
                f"devices, or set clients to {names.size}, so that devices share them"
            )
        by_client = np.split(np.argsort(pool.clients, kind="stable"), np.cumsum(sizes)[:-1])
        chosen = generator.permutation(names.size)[:clients]
        used = sizes[chosen].sum()
        note = f"natural: {clients} of {names.size} clients take part, with {used} of {sizes.sum()} samples"
        return Split(tuple(by_client[client] for client in chosen), (note,) if clients < names.size else ())


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
        InputError: more shards than devices, or the partition or the coupling does not exist.
    """
    devices = len(speed)
    clients = devices if partition.clients is None else partition.clients
    if clients > devices:
        raise _impossible(
            f"clients is {clients}, but there are {devices} devices and the data of the others would be "
            f"lost; give at most {devices}, or leave it out for one shard per device"
        )
    split = partition.split(pool, clients, generator)
    return Deal(split.shards, couple(partition.coupling, split.shards, pool.labels, speed), split.notes)


def _shuffled_by_class(labels: Indices, generator: np.random.Generator) -> list[Indices]:
    return [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _fill_empty(shards: list[Indices], generator: np.random.Generator) -> int:
    """Move one sample from the largest shard into each empty one; how many were empty."""
    sizes = np.array([shard.size for shard in shards])
    empty = np.flatnonzero(sizes == 0)
    for client in empty:
        giver = int(np.argmax(sizes))
        taken = generator.integers(sizes[giver])
        shards[client] = shards[giver][taken : taken + 1]
        shards[giver] = np.delete(shards[giver], taken)
        sizes[giver] -= 1
        sizes[client] = 1
    return len(empty)


def _impossible(message: str) -> InputError:
    return InputError(Problem(message, path="dataset.partition"))
