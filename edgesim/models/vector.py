"""A vector as the model, and the value of a quadratic as its output: for theory that has closed forms.

A sample is a matrix [rows + 1, d]: a factor R [rows, d] of a positive semi-definite A = R'R, and a vector
b [d] below it. The output is the sample's own loss:

    f(x) = 1/2 x'A x - b'x = 1/2 |R x|^2 - b'x

The data set `quadratic` has such samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgesim.errors import InputError, Problem
from edgesim.models._model import Model
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import Tensor, nn


@component
class Vector(Model):
    """A vector for `quadratic`, drawn from a standard normal distribution unless the data set gives a start.

    Attributes:
        layers: consecutive groups, as equal as can be, of the coordinates: what a method that works by layers
            takes for one, the first group for the first layer.
    """

    gives_loss: ClassVar[bool] = True

    layers: Count = 1

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:  # noqa: ARG002
        """One linear layer without bias for each group; see `Model.build`."""
        import torch

        from edgesim.models._quadratic import Quadratic

        if len(input_shape) != 2:
            message = f"takes matrices, got samples of shape {input_shape}; use dataset: quadratic"
            raise InputError(Problem(message, "model"))
        size = input_shape[1]
        if self.layers > size:
            raise InputError(
                Problem(
                    f"is {self.layers}, and x has {size} coordinates; give at most {size}", "model.layers"
                )
            )
        return Quadratic(torch.tensor_split(torch.randn(size), self.layers))


def curvature(samples: Tensor) -> Tensor:
    """Diagonals of A [batch, d] of samples [batch, rows + 1, d]."""
    return samples[:, :-1].square().sum(1)
