"""The CNN of FedAvg (McMahan et al. 2017, section 3), padded so that it has its published size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._model import Model, classifier, convolutions
from edgesim.papers import FEDAVG
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class FedAvgCnn(Model):
    """Two 5x5 convolutions (32, 64), a hidden layer of 512: 1 663 370 parameters on 1x28x28, 10 classes."""

    papers = (FEDAVG,)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, conv2, ..., flatten, fc1, relu3, fc2`; see `Model.build`."""
        layers, features = convolutions(input_shape, (32, "pool", 64, "pool"), 5, padding=lambda *_: 2)
        return classifier(layers, features, (512,), classes)
