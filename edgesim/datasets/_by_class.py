"""Partitions that go by the class of each sample."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from edgesim.datasets._rule import Indices, PartitionRule, Pool, Split, impossible
from edgesim.papers import FEDAVG, FEDGMR, HETEROFL
from edgesim.registry import component
from edgesim.yaml_source import Count


@component
class Dirichlet(PartitionRule):
    """The shares of the clients in each class are drawn from a symmetric Dirichlet distribution (FedGMR).

    A client that comes out empty takes one random sample from the client that holds most (the first of
    equals), and the deal says how many did.

    Attributes:
        alpha: concentration: small is skewed, large is near iid.
    """

    papers = (FEDGMR,)
    by_class: ClassVar[bool] = True

    # Far above, where the distribution has long been flat, its gamma draws overflow.
    alpha: Annotated[float, Field(gt=0, le=1e6)]

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shares that sum to each class; see `PartitionRule.split`."""
        if clients > pool.labels.size:
            raise impossible(
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

    papers = (HETEROFL,)
    by_class: ClassVar[bool] = True

    labels: Count

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Pieces of a class differ in size by one at most; see `PartitionRule.split`."""
        pools = _shuffled_by_class(pool.labels, generator)
        owners = self._owners(len(pools), clients, generator)
        held: list[list[Indices]] = [[] for _ in range(clients)]
        for samples, holders in zip(pools, owners, strict=True):
            if samples.size < len(holders):
                raise impossible(
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
            raise impossible(f"labels is {self.labels}, but the training data has {classes}; ask for fewer")
        if self.labels * clients < classes:
            raise impossible(
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

    papers = (FEDAVG,)
    by_class: ClassVar[bool] = True

    per_client: Count = 2

    def split(self, pool: Pool, clients: int, generator: np.random.Generator) -> Split:
        """Shards of consecutive labels; see `PartitionRule.split`."""
        total = self.per_client * clients
        if total > pool.labels.size:
            raise impossible(
                f"{self.per_client} shards for each of {clients} clients are more than the "
                f"{pool.labels.size} training samples; ask for fewer shards or clients"
            )
        pieces = np.array_split(np.argsort(pool.labels, kind="stable"), total)
        hands = generator.permutation(total).reshape(clients, self.per_client)
        return Split(tuple(np.concatenate([pieces[piece] for piece in hand]) for hand in hands))


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
