"""LEAF's LSTM for Shakespeare (Caldas et al. 2018): the next character, from the 80 before it.

819 920 parameters for LEAF's 80 characters: 2 048 more than in TensorFlow, as PyTorch's LSTM has two biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgesim.models._model import Model
from edgesim.models._tokens import Predict, length_of
from edgesim.papers import LEAF
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class Lstm(Model):
    """An embedding, two LSTM layers and a linear layer over sequences of tokens.

    Attributes:
        embedding: width of the embedding.
        hidden: units of each LSTM layer.
        predict: `last` for one prediction per sample, `all` for one at every position.
    """

    papers = (LEAF,)
    reads_tokens: ClassVar[bool | None] = True

    embedding: Count = 8
    hidden: Count = 256
    predict: Predict = "last"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `tokens, lstm1, lstm2, output`.

        Raises:
            InputError: the samples are no tokens.
        """
        from edgesim.models._stacked_lstm import StackedLstm

        length_of(input_shape)
        return StackedLstm(
            tokens=classes, embedding=self.embedding, hidden=self.hidden, last=self.predict == "last"
        )
