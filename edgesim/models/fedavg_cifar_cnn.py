"""The CNN for CIFAR-10 of FedAvg (McMahan et al. 2017, section 3): that of TensorFlow's tutorial.

Left out is its local response normalisation: it has no parameters, and it normalises a channel by those
beside it, of which a sub-model lacks some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._model import Model, classifier, convolutions
from edgesim.papers import FEDAVG
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class FedAvgCifarCnn(Model):
    """Two 5x5 convolutions (64, 64), hidden layers (384, 192): 1 068 298 parameters on 3x24x24, 10 classes.

    FedAvg crops CIFAR-10's images to 24 pixels; on those of 32 the network has 1 756 426 parameters.
    """

    papers = (FEDAVG,)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, ..., flatten, fc1, relu3, fc2, relu4, fc3`; see `Model.build`."""
        layers, features = convolutions(
            input_shape, (64, "pool", 64, "pool"), 5, padding=lambda *_: 2, window=3
        )
        return classifier(layers, features, (384, 192), classes)
