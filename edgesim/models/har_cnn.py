"""A small one-dimensional CNN for windows of sensor signals, such as those of UCI HAR (`uci_har`).

The usual shape of networks for activity recognition: two stages of convolution over time and pooling, then a
hidden layer. Kernels of 5 samples are 0.1 s at UCI HAR's 50 Hz.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from edgesim.errors import InputError, Problem
from edgesim.models._model import Model, classifier
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (32, 64)
HIDDEN = 128


@component
class HarCnn(Model):
    """Two convolutions (32, 64), a hidden layer of 128: 274 822 parameters on 9x128, 6 classes."""

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, relu1, pool1, conv2, ..., flatten, fc1, relu3, fc2`; see `Model.build`.

        A pool that would leave nothing is skipped.
        """
        from torch import nn

        if len(input_shape) != 2:
            shape = f"got samples of shape {input_shape}"
            message = f"needs signals [channels, time], {shape}; choose another model or data set"
            raise InputError(Problem(message, path="model"))
        channels, length = input_shape
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, width in enumerate(WIDTHS, start=1):
            layers[f"conv{stage}"] = nn.Conv1d(channels, width, kernel_size=5, padding=2)
            layers[f"relu{stage}"] = nn.ReLU()
            channels = width
            if length >= 2:
                layers[f"pool{stage}"] = nn.MaxPool1d(2)
                length //= 2
        return classifier(layers, channels * length, (HIDDEN,), classes)
