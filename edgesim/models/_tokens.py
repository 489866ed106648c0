"""What the models of text share."""

from __future__ import annotations

from typing import Literal

from edgesim.errors import InputError, Problem

Predict = Literal["last", "all"]
"""Whether a model predicts one token per sample, from its last position, or one per position."""


def length_of(input_shape: tuple[int, ...]) -> int:
    """Number of tokens of a sample.

    Raises:
        InputError: the samples are no sequences of tokens.
    """
    if len(input_shape) != 1:
        shape = f"got samples of shape {input_shape}"
        message = f"needs sequences of tokens [length], {shape}; choose another model or data set"
        raise InputError(Problem(message, path="model"))
    return input_shape[0]
