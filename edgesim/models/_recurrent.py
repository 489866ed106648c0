"""Recurrent layers: as the matrix products of their time steps, and with fewer hidden units.

    h    hidden units of a layer
    g    gates: 4 of an LSTM, 3 of a GRU, 1 of a plain RNN

The weights of a layer have g h rows: row k h + i is gate k of unit i. The state is fed back, so that unit i
is also column i of the recurrent weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesim.errors import RunFailed

Dims = Sequence[NDArray[np.int64] | None]

_KINDS = (nn.LSTM, nn.GRU, nn.RNN)
_FORWARDS = tuple(kind.forward for kind in _KINDS)


@contextmanager
def recurrence_as_products() -> Iterator[None]:
    """Run recurrent layers as the matrix products that they consist of, in place of fused operators.

    The fused ones depend on the host, hide their costs, and cuDNN's counts as random.
    """
    switches: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    before = [switch.enabled for switch in switches]
    for switch in switches:
        switch.enabled = False
    try:
        yield
    finally:
        for switch, enabled in zip(switches, before, strict=True):
            switch.enabled = enabled


def is_recurrence(module: nn.Module) -> bool:
    """Whether a module is PyTorch's LSTM, GRU or RNN without projections, with their own forward pass."""
    return isinstance(module, _KINDS) and type(module).forward in _FORWARDS and module.proj_size == 0


def refuse_others(network: nn.Module) -> None:
    """Let pass networks whose recurrent layers are all such that their units are known.

    Raises:
        RunFailed: one is not; the message names it.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.RNNBase) and not is_recurrence(module):
            raise RunFailed(
                f"module {path} ({type(module).__name__}) has projections or a forward pass of its own, and"
                " how to cut it is not known; use PyTorch's own with proj_size=0, or a method that cuts no"
                " widths (full, fedpmt)"
            )


def has_recurrence(network: nn.Module) -> bool:
    """Whether a network has recurrent layers of any kind."""
    return any(isinstance(module, nn.RNNBase) for module in network.modules())


def input_weights(network: nn.Module) -> dict[str, str]:
    """For each parameter of a recurrent layer, the name of the weights that the layer's input meets."""
    found = {}
    for path, module in network.named_modules():
        if isinstance(module, nn.RNNBase):
            for name, _ in module.named_parameters(recurse=False):
                suffix = name.partition("_")[2].partition("_")[2]  # weight_hh_l0_reverse -> l0_reverse
                found[_joined(path, name)] = _joined(path, f"weight_ih_{suffix}")
    return found


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _suffixes(module: nn.RNNBase) -> list[str]:
    """What the names of the parameters end in, per layer and direction, in the order in which they run."""
    ends = ("", "_reverse") if module.bidirectional else ("",)
    return [f"l{layer}{end}" for layer in range(module.num_layers) for end in ends]


class TiedRecurrence(nn.Module):
    """How a recurrence ties channels: one linear layer of h units per layer and direction, without time."""

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        self.batch_first, self.directions = module.batch_first, 1 + module.bidirectional
        self.has_cells = isinstance(module, nn.LSTM)
        self._layers = _suffixes(module)
        for suffix in self._layers:
            inputs = getattr(module, f"weight_ih_{suffix}").shape[1]
            self.add_module(suffix, nn.Linear(inputs, module.hidden_size))

    def forward(
        self, x: Tensor, hx: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """An output and last states that depend on the same channels as those of the recurrence."""
        batch_first = self.batch_first and x.dim() == 3
        states = hx[0] + hx[1] if isinstance(hx, tuple) else hx
        last = []
        for start in range(0, len(self._layers), self.directions):
            outputs = []
            for number in range(start, start + self.directions):
                output = self.get_submodule(self._layers[number])(x)
                if states is not None:
                    output = output + (states[number].unsqueeze(1) if batch_first else states[number])
                outputs.append(output)
                last.append(output.select(1 if batch_first else 0, -1))
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
        final = torch.stack(last) if len(last) > 1 else last[0].unsqueeze(0)
        return x, ((final, final) if self.has_cells else final)


def places_in_recurrence(module: nn.RNNBase, tied: Mapping[str, Dims]) -> dict[str, Dims]:
    """Units of a recurrence's tensors, from those of the tensors of its `TiedRecurrence`.

    Args:
        module: the recurrence.
        tied: per tensor of the other and dimension, the unit of each coordinate.
    """
    places: dict[str, Dims] = {}
    for suffix in _suffixes(module):
        units, columns = tied[f"{suffix}.weight"]
        rows = None if units is None else np.resize(units, getattr(module, f"weight_ih_{suffix}").shape[0])
        places[f"weight_ih_{suffix}"] = (rows, columns)
        places[f"weight_hh_{suffix}"] = (rows, units)
        places |= dict.fromkeys((f"bias_ih_{suffix}", f"bias_hh_{suffix}"), (rows,))
    present = {name for name, _ in module.named_parameters()}
    return {name: dims for name, dims in places.items() if name in present}
