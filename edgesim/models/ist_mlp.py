"""The network that IST trains on spoken commands (Yuan et al., VLDB 2022; algorithms 2, M11).

No layer has a bias; each is followed by a batch norm that keeps no statistics, the output layer by one
without parameters, of which nothing is exchanged. IST tests with the statistics of the test batch; here they
are taken from training data, as those of every static batch norm (algorithms 3.8), so that a prediction
depends on its sample alone. A batch of one sample has no statistics and cannot be trained on.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from edgesim.models._model import Model
from edgesim.papers import IST
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class IstMlp(Model):
    """A normalised multi-layer perceptron: 16 928 768 parameters on 4096 features and 35 classes.

    Attributes:
        hidden: units of each hidden layer; [4096, 4096] is the paper's network of three layers.
    """

    papers = (IST,)

    hidden: tuple[Count, ...] = (4096,)

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `flatten, fc1, norm1, relu1, ..., fc2, norm2`; see `Model.build`."""
        from torch import nn

        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        sizes = (math.prod(input_shape), *self.hidden, classes)
        for number, (features, size) in enumerate(itertools.pairwise(sizes), start=1):
            last = number == len(sizes) - 1
            layers[f"fc{number}"] = nn.Linear(features, size, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm1d(
                size, momentum=None, affine=not last, track_running_stats=False
            )
            if not last:
                layers[f"relu{number}"] = nn.ReLU()
        return nn.Sequential(layers)
