"""VGG-11 (Simonyan and Zisserman 2015) without batch norm, its hidden layers narrowed for CIFAR-10.

The form that FedGMR trains (algorithms 2, M7): hidden layers of 512 in place of 4096, no dropout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgesim.models._model import Model, classifier, convolutions
from edgesim.models._papers import VGG
from edgesim.papers import FEDGMR
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn

PLAN: tuple[int | Literal["pool"], ...] = (
    *(64, "pool", 128, "pool", 256, 256, "pool"),
    *(512, 512, "pool", 512, 512, "pool"),
)


@component
class Vgg11(Model):
    """Eight 3x3 convolutions, two hidden layers of 512: 9 750 922 parameters on 3x32x32, 10 classes."""

    papers = (VGG, FEDGMR)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, conv2, ..., flatten, fc1, ..., fc3`; see `Model.build`."""
        layers, features = convolutions(input_shape, PLAN, 3, padding=lambda *_: 1)
        return classifier(layers, features, (512, 512), classes)
