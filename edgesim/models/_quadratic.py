"""The network of `vector`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Quadratic(nn.Module):
    """The value 1/2 |R x|^2 - b'x of each sample (R above b), as a function of x."""

    def __init__(self, groups: Sequence[Tensor]) -> None:
        super().__init__()
        self.sizes = [len(group) for group in groups]
        self.groups = nn.ModuleList(nn.Linear(size, 1, bias=False) for size in self.sizes)
        nn.utils.vector_to_parameters(torch.cat(list(groups)), self.parameters())

    def forward(self, samples: Tensor) -> Tensor:
        """Values [batch, 1] of samples [batch, rows + 1, d]."""
        parts = torch.split(samples, self.sizes, -1)
        products = torch.stack([layer(part) for layer, part in zip(self.groups, parts, strict=True)]).sum(0)
        return products[:, :-1, 0].square().sum(-1, keepdim=True) / 2 - products[:, -1]
