"""What a partition is given, what it makes of it, and what all partitions have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgesim.datasets._coupling import Coupling
from edgesim.errors import InputError, Problem
from edgesim.papers import Paper
from edgesim.registry import component
from edgesim.yaml_source import Count

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What a partition may know of the training samples.

    Attributes:
        labels: label of each sample, int64 [n]; or a sequence of them, int64 [n, length].
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


@component
class PartitionRule(ABC):
    """What every partition has.

    Attributes:
        clients: number of shards, if fewer than devices; one for each device where absent.
        coupling: which device holds which shard, see `_coupling`.

    Claims:
        by_class: it goes by the class of each sample.
        papers: behind it.
    """

    papers: ClassVar[tuple[Paper, ...]] = ()
    by_class: ClassVar[bool] = False

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


def impossible(message: str) -> InputError:
    """The error of a partition that does not exist."""
    return InputError(Problem(message, path="dataset.partition"))
