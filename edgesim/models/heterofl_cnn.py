"""The CNN that HeteroFL trains on MNIST (Diao et al. 2021; algorithms 2, M4)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from edgesim.models._images import Norm, check_statistics, norm_layer
from edgesim.models._model import Model, image_shape
from edgesim.papers import HETEROFL
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class HeteroFLCnn(Model):
    """Four 3x3 convolutions (64 to 512), each with a norm: 1 556 874 parameters on 1x28x28, 10 classes.

    Attributes:
        widths: channels of the convolutions; those of HeteroFL's rate a.
        norm: `group`, each sample by itself, or HeteroFL's `static_batch`, without running averages.
    """

    papers = (HETEROFL,)

    widths: tuple[Count, Count, Count, Count] = (64, 128, 256, 512)
    norm: Norm = "static_batch"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, norm1, relu1, pool1, ..., relu4, average, flatten, fc`; see `Model.build`.

        A pool that would leave nothing is skipped.
        """
        from torch import nn

        channels, *sides = image_shape(input_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, width in enumerate(self.widths, start=1):
            layers[f"conv{stage}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"norm{stage}"] = norm_layer(self.norm)(width)
            layers[f"relu{stage}"] = nn.ReLU()
            channels = width
            if stage < len(self.widths) and min(sides) >= 2:
                layers[f"pool{stage}"] = nn.MaxPool2d(2)
                sides = [side // 2 for side in sides]
        layers["average"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(channels, classes)
        network = nn.Sequential(layers)
        check_statistics(network, input_shape)
        return network
