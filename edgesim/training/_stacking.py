"""Tensors of many clients as one, along a leading client axis, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


def stack(clients: Sequence[Tensors]) -> dict[str, Tensor]:
    """Each tensor of all clients along a new leading axis; without copying where all hold the same one."""
    return {name: _stack([tensors[name] for tensors in clients]) for name in clients[0]}


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0]
    if all(tensor is first for tensor in tensors):
        return first.expand(len(tensors), *first.shape)
    return torch.stack(list(tensors))


def unstack(tensors: Tensors, clients: int) -> list[dict[str, Tensor]]:
    """Views of each client's tensors."""
    rows = {name: tensor.unbind() for name, tensor in tensors.items()}
    return [{name: row[client] for name, row in rows.items()} for client in range(clients)]
