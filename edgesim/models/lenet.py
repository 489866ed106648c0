"""LeNet-5 (LeCun et al. 1998) as it is used today: ReLU, max-pooling, all maps connected.

The first convolution pads samples below 32 pixels to what LeNet-5 was drawn for (28 becomes 32), and any
convolution pads where the map is smaller than its kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._model import Model, classifier, convolutions
from edgesim.models._papers import LENET
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


def _padding(stage: int, side: int) -> int:
    return 2 if side < (32 if stage == 0 else 5) else 0


@component
class LeNet(Model):
    """Two 5x5 convolutions (6, 16), hidden layers of 120 and 84: 61 706 parameters on 1x28x28, 10 classes."""

    papers = (LENET,)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, ..., flatten, fc1, relu3, fc2, relu4, fc3`; see `Model.build`."""
        layers, features = convolutions(input_shape, (6, "pool", 16, "pool"), 5, _padding)
        return classifier(layers, features, (120, 84), classes)
