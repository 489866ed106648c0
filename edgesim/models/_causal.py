"""The network of `transformer`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CausalTransformer(nn.Module):
    """Next-token prediction: what it gives at a position depends on the tokens up to there."""

    def __init__(
        self,
        *,
        tokens: int,
        embedding: int,
        heads: int,
        feed_forward: int,
        layers: int,
        dropout: float,
        positions: int,
        last: bool,
    ) -> None:
        super().__init__()
        self.last = last
        self.tokens = nn.Embedding(tokens, embedding)
        self.positions = nn.Embedding(positions, embedding)
        self.norm = nn.LayerNorm(embedding)
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                embedding, heads, feed_forward, dropout, activation="gelu", batch_first=True
            )
            for _ in range(layers)
        )
        self.hidden = nn.Linear(embedding, embedding)
        self.gelu = nn.GELU()
        self.hidden_norm = nn.LayerNorm(embedding)
        self.output = nn.Linear(embedding, tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, length, tokens] of tokens [batch, length]; of the last position alone if asked."""
        place = torch.arange(x.shape[1], device=x.device)
        stream = self.dropout(self.norm(self.tokens(x) + self.positions(place)))
        future = place > place.unsqueeze(1)
        for layer in self.encoder:
            stream = layer(stream, src_mask=future)
        if self.last:
            stream = stream[:, -1]
        logits: Tensor = self.output(self.hidden_norm(self.gelu(self.hidden(stream))))
        return logits
