"""A small transformer that predicts the next token, as FedRolex and FedGMR train it on StackOverflow.

HeteroFL's transformer (Diao et al. 2021) with a causal mask: embedding and positions, summed and normalised;
encoder layers with GELU; a decoder of two linear layers with GELU and a norm between them. With V tokens and
the defaults it has 193 V + 357 504 parameters.

    FedGMR (M9 of algorithms 2)     the defaults, 10 000 tokens: 2 287 504 parameters, 8.73 MiB
    FedRolex (M10)                  embedding: 128, heads: 8, feed_forward: 2048, dropout: 0.1

FedGMR's release charges 17.26 MiB, a constant in its configuration that is about twice the bytes of these
parameters; its embedding has one more row, which HeteroFL needs for masked tokens and a causal mask does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from edgesim.errors import InputError, Problem
from edgesim.models._model import Model
from edgesim.models._tokens import Predict, length_of
from edgesim.papers import FEDGMR, FEDROLEX, HETEROFL
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class Transformer(Model):
    """A causal transformer encoder over sequences of tokens.

    Attributes:
        embedding: width of the residual stream.
        heads: of each attention.
        feed_forward: hidden units of each encoder layer.
        layers: encoder layers.
        dropout: probability, in the embedding and in the encoder layers.
        positions: rows of the table of positions; samples may be shorter.
        predict: `all` for a prediction at every position, `last` for one per sample.
    """

    papers = (HETEROFL, FEDROLEX, FEDGMR)
    reads_tokens: ClassVar[bool | None] = True

    embedding: Count = 96
    heads: Count = 4
    feed_forward: Count = 384
    layers: Count = 3
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    positions: Count = 128
    predict: Predict = "all"

    def __post_init__(self) -> None:
        if self.embedding % self.heads:
            raise ValueError(f"embedding must be a multiple of heads, got {self.embedding} and {self.heads}")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `tokens, positions, norm, dropout, encoder, hidden, gelu, hidden_norm, output`.

        Raises:
            InputError: the samples are no tokens, or longer than the table of positions.
        """
        from edgesim.models._causal import CausalTransformer

        length = length_of(input_shape)
        if length > self.positions:
            message = f"is {self.positions}, but samples have {length} tokens; use positions: {length}"
            raise InputError(Problem(message, path="model.positions"))
        return CausalTransformer(
            tokens=classes,
            embedding=self.embedding,
            heads=self.heads,
            feed_forward=self.feed_forward,
            layers=self.layers,
            dropout=self.dropout,
            positions=self.positions,
            last=self.predict == "last",
        )
