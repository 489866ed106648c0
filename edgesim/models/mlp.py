"""Linear layers with ReLU; the default is the MNIST 2NN of FedAvg (McMahan et al. 2017, section 3)."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from edgesim.models._model import Model, classifier
from edgesim.papers import FEDAVG
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class Mlp(Model):
    """A multi-layer perceptron for samples of any shape: 199 210 parameters on 784 features and 10 classes.

    Attributes:
        hidden: units of each hidden layer; none makes it a linear classifier.
    """

    papers = (FEDAVG,)

    hidden: tuple[Count, ...] = (200, 200)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `flatten, fc1, relu1, fc2, ...`; see `Model.build`."""
        return classifier(OrderedDict(), math.prod(input_shape), self.hidden, classes)
