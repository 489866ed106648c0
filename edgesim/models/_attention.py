"""Attention whose heads are cut: as layers that a tracer knows, and with fewer dimensions in every head.

q, k and v are cut inside every head, the number of heads stays (HeteroFL; algorithms 1.2). PyTorch's module
takes the width of a head from the embedding's, so that a cut one needs a module of its own.

    E    width of the embedding
    H    number of heads
    D    dimensions of a head
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

Dims = Sequence[NDArray[np.int64] | None]


@contextmanager
def attention_as_products() -> Iterator[None]:
    """Run attention as the matrix products that it consists of, in place of fused operators.

    The fused ones hide parameters, and count as random even where nothing is dropped.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def is_attention(module: nn.Module) -> bool:
    """Whether a module computes PyTorch's attention; a subclass with a forward pass of its own does not."""
    return isinstance(module, nn.MultiheadAttention) and type(module).forward is nn.MultiheadAttention.forward


def _projections(module: nn.MultiheadAttention) -> dict[str, str]:
    """Names under which the projections are seen as layers, and those of their weights."""
    if module.in_proj_weight is not None:
        return {"in_proj": "in_proj_weight"}
    return {f"{letter}_proj": f"{letter}_proj_weight" for letter in "qkv"}


class TiedAttention(nn.Module):
    """How attention ties channels: its layers with one head of D units, without the product between them.

    Query, key and value share the weight's columns; unit d is dimension d of q, k and v in each head.
    """

    def __init__(self, module: nn.MultiheadAttention) -> None:
        super().__init__()
        self.batch_first = module.batch_first
        self.embed_dim, self.num_heads, self.head_dim = module.embed_dim, module.num_heads, module.head_dim
        self._layers = tuple(_projections(module))
        for layer, name in _projections(module).items():
            self.add_module(layer, nn.Linear(getattr(module, name).shape[1], module.head_dim))
        self.out_proj = nn.Linear(module.head_dim, module.embed_dim)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,  # noqa: ARG002  (the signature of PyTorch's module)
        need_weights: bool = True,
        attn_mask: Tensor | None = None,  # noqa: ARG002
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        """An output that depends on the same channels, and weights of zero."""
        length = 1 if self.batch_first and query.dim() == 3 else 0
        summed = [query, key.mean(length, keepdim=True), value.mean(length, keepdim=True)]
        if len(self._layers) == 1:
            head = self.get_submodule(self._layers[0])(sum(summed))
        else:
            head = sum(self.get_submodule(layer)(x) for layer, x in zip(self._layers, summed, strict=True))
        heads = () if average_attn_weights else (self.num_heads,)
        batch = () if query.dim() == 2 else (query.shape[1 - length],)
        zeros = query.new_zeros((*batch, *heads, query.shape[length], key.shape[length]))
        return self.out_proj(head), zeros if need_weights else None


def places_in_attention(module: nn.MultiheadAttention, tied: Mapping[str, Dims]) -> dict[str, Dims]:
    """Units of an attention's tensors, from those of the tensors of its `TiedAttention`.

    Args:
        module: the attention.
        tied: per tensor of the other and dimension, the unit of each coordinate.
    """
    rows: NDArray[np.int64] | None = None
    places: dict[str, Dims] = {}
    for layer, name in _projections(module).items():
        rows, columns = tied[f"{layer}.weight"]
        places[name] = (_tiled(rows, getattr(module, name).shape[0]), columns)
    outputs, heads = tied["out_proj.weight"]
    places["out_proj.weight"] = (outputs, _tiled(heads, module.embed_dim))
    places["out_proj.bias"] = (outputs,)
    places["in_proj_bias"] = (_tiled(rows, 3 * module.embed_dim),)
    places |= dict.fromkeys(("bias_k", "bias_v"), (None, None, _tiled(rows, module.embed_dim)))
    present = {name for name, _ in module.named_parameters()}
    return {name: dims for name, dims in places.items() if name in present}


def _tiled(units: NDArray[np.int64] | None, size: int) -> NDArray[np.int64] | None:
    """The units of one head, repeated for all."""
    return None if units is None else np.resize(units, size)


class CutAttention(nn.MultiheadAttention):
    """Attention with H heads of fewer dimensions than E/H; parameters are named as in PyTorch's.

    Scores are divided by the root of the *whole* head's dimensions, so that it computes what the whole module
    computes with the other dimensions at zero. What is projected passes through a child for hooks to see it.
    """

    def __init__(self, module: nn.MultiheadAttention) -> None:
        """Take over a module whose tensors are cut and whose attributes are still those of the whole."""
        nn.Module.__init__(self)
        self.num_heads, self.dropout = module.num_heads, module.dropout
        self.batch_first, self.add_zero_attn = module.batch_first, module.add_zero_attn
        self.scale = module.head_dim**-0.5
        self._layers = tuple(_projections(module))
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias"):
            self.register_parameter(name, getattr(module, name))
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, getattr(module, name))
        self.out_proj = module.out_proj
        self.embed_dim, inner = self.out_proj.weight.shape
        self.head_dim = inner // self.num_heads
        weights = [getattr(module, name) for name in _projections(module).values()]
        self.kdim, self.vdim = weights[len(weights) // 2].shape[1], weights[-1].shape[1]
        self._qkv_same_embed_dim = False  # the encoder layer's fused operator takes D to be E/H
        for layer in self._layers:
            self.add_module(layer, nn.Identity())
        self.train(module.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002  (a hint on `attn_mask`)
    ) -> tuple[Tensor, Tensor | None]:
        """As `nn.MultiheadAttention.forward`, of which it takes and gives the shapes."""
        lone, length_first = query.dim() == 2, query.dim() == 3 and not self.batch_first
        q, k, v = self._projected(query, key, value)
        if lone:
            q, k, v = (x.unsqueeze(0) for x in (q, k, v))
        elif length_first:
            q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        k, v, extra = self._extended(k, v)
        q, k, v = (x.view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2) for x in (q, k, v))
        scores = (q * self.scale) @ k.transpose(-2, -1)  # [batch, heads, length of query, length of key]
        for mask in self._masks(key_padding_mask, attn_mask, q.dtype):
            scores = scores + functional.pad(mask, (0, extra))
        weights = functional.dropout(scores.softmax(-1), self.dropout, self.training)
        output = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        shown = weights.mean(1) if average_attn_weights else weights
        if lone:
            output, shown = output.squeeze(0), shown.squeeze(0)
        elif length_first:
            output = output.transpose(0, 1)
        return output, shown if need_weights else None

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> Sequence[Tensor]:
        """q, k and v, [..., heads x dimensions]."""
        packed, bias = self.in_proj_weight, self.in_proj_bias
        if packed is not None and query is key and key is value:
            return self._seen(0, functional.linear(query, packed, bias)).chunk(3, -1)
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights = separate if packed is None else packed.chunk(3)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        inputs = zip((query, key, value), weights, biases, strict=True)
        return [self._seen(number, functional.linear(*each)) for number, each in enumerate(inputs)]

    def _seen(self, number: int, projected: Tensor) -> Tensor:
        layer = self._layers[min(number, len(self._layers) - 1)]
        shown: Tensor = self.get_submodule(layer)(projected)
        return shown

    def _extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Keys and values with the learned and the zero position, and how many positions that adds."""
        length = k.shape[1]
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), -1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(len(v), -1, -1)], 1)
        if self.add_zero_attn:
            k, v = (functional.pad(x, (0, 0, 0, 1)) for x in (k, v))
        return k, v, k.shape[1] - length

    def _masks(
        self, padding: Tensor | None, positions: Tensor | None, dtype: torch.dtype
    ) -> Iterator[Tensor]:
        """What is added to the scores, each of a shape that broadcasts to theirs."""
        if padding is not None:
            yield _added(padding, dtype).reshape(-1, 1, 1, padding.shape[-1])
        if positions is not None:
            mask = _added(positions, dtype)
            yield mask if mask.dim() == 2 else mask.reshape(-1, self.num_heads, *mask.shape[1:])


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as numbers: minus infinity where attention is not allowed."""
    return (
        torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf)
        if mask.dtype == torch.bool
        else mask
    )
