"""The CNN of LEAF's FEMNIST (Caldas et al. 2018) as FedGMR trains it (algorithms 2, M6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._model import Model, classifier, convolutions
from edgesim.papers import FEDGMR, LEAF
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class FemnistCnn(Model):
    """Two 5x5 convolutions (32, 64), a hidden layer of 2048: 6 603 710 parameters on 1x28x28, 62 classes."""

    papers = (LEAF, FEDGMR)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, conv2, ..., flatten, fc1, relu3, fc2`; see `Model.build`."""
        layers, features = convolutions(input_shape, (32, "pool", 64, "pool"), 5, padding=lambda *_: 2)
        return classifier(layers, features, (2048,), classes)
