"""A linear map, and a network of two linear layers that is to learn it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._partition import Natural, Partition
from edgesim.models._model import Model
from edgesim.registry import component
from edgesim.yaml_source import Count


@component
class MapSamples(Dataset):
    """Inputs x above the outputs y = A x; every client has the unit vectors, times sqrt(d).

    So the mean of 1/2 |B x - y|^2 is half the squared Frobenius distance of B to A, which is d by d and has
    the singular values 1, 2, .., `rank`.

    Attributes:
        partition: which device is which client.
        holders: how many clients.
        dimension: d.
        rank: of A.
        instance: number of the map.
    """

    functions: ClassVar[bool] = True

    partition: Partition = Natural()
    holders: Count = 2
    dimension: Count = 8
    rank: Count = 4
    instance: Count = 1

    def load(self, root: Path | None, download: bool) -> Data:
        """Make the map up; both arguments are without effect."""
        d = self.dimension
        left, right = (
            np.linalg.qr(drawn)[0] for drawn in np.random.default_rng(self.instance).normal(size=(2, d, d))
        )
        values = np.arange(self.rank, 0, -1)
        outputs = left[:, : self.rank] * values @ right[:, : self.rank].T
        samples = np.sqrt(d) * np.concatenate([np.eye(d), outputs.T], axis=1)
        x = np.tile(samples, (self.holders, 1))
        y = np.zeros(len(x), dtype=np.int64)
        return Data(x, y, x, y, classes=1, clients=np.repeat(np.arange(self.holders), d))


@component
class TwoLayers(Model):
    """B = second first, and 1/2 |B x - y|^2 of each sample.

    Attributes:
        hidden: units between the layers.
    """

    gives_loss: ClassVar[bool] = True

    hidden: Count = 4

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for samples of x and y, equally long."""
        return LossOfProduct(input_shape[0] // 2, self.hidden)


class LossOfProduct(nn.Module):
    """See `TwoLayers`."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.size = size
        self.first = nn.Linear(size, hidden, bias=False)
        self.second = nn.Linear(hidden, size, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Losses [batch, 1] of samples [batch, 2 d]."""
        x, y = torch.split(samples, self.size, -1)
        return (self.second(self.first(x)) - y).square().sum(-1, keepdim=True) / 2
