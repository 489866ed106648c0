"""The network of `lstm`."""

from __future__ import annotations

from torch import Tensor, nn


class StackedLstm(nn.Module):
    """Two LSTM layers, each a module of its own."""

    def __init__(self, *, tokens: int, embedding: int, hidden: int, last: bool) -> None:
        super().__init__()
        self.last = last
        self.tokens = nn.Embedding(tokens, embedding)
        self.lstm1 = nn.LSTM(embedding, hidden, batch_first=True)
        self.lstm2 = nn.LSTM(hidden, hidden, batch_first=True)
        self.output = nn.Linear(hidden, tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, length, tokens] of tokens [batch, length]; of the last position alone if asked."""
        states, _ = self.lstm2(self.lstm1(self.tokens(x))[0])
        logits: Tensor = self.output(states[:, -1] if self.last else states)
        return logits
