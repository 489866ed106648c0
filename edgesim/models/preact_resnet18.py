"""ResNet-18 with pre-activation (He et al. 2016b), as HeteroFL trains it on CIFAR-10 (algorithms 2, M5).

A block normalises and rectifies before it convolves; where the shape changes, the shortcut reads the
rectified input through a 1x1 convolution.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from edgesim.models._images import Norm, check_statistics, norm_layer
from edgesim.models._model import Model, image_shape
from edgesim.models._papers import PREACT_RESNET
from edgesim.papers import HETEROFL
from edgesim.registry import component
from edgesim.yaml_source import Count

if TYPE_CHECKING:
    from torch import nn


@component
class PreactResNet18(Model):
    """Eight residual blocks (64, 128, 256, 512): 11 172 170 parameters on 3x32x32, 10 classes.

    Attributes:
        widths: channels of the four stages; those of HeteroFL's rate a.
        norm: `group`, each sample by itself, or HeteroFL's `static_batch`, without running averages.
    """

    papers = (PREACT_RESNET, HETEROFL)

    widths: tuple[Count, Count, Count, Count] = (64, 128, 256, 512)
    norm: Norm = "static_batch"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network `conv1, layer1, ..., layer4, norm, relu, average, flatten, fc`; see `Model.build`."""
        from torch import nn

        from edgesim.models._preact import PreactBlock

        channels, *_ = image_shape(input_shape)
        norm, width = norm_layer(self.norm), self.widths[0]
        layers = OrderedDict[str, nn.Module](conv1=nn.Conv2d(channels, width, 3, padding=1, bias=False))
        for stage, wider in enumerate(self.widths, start=1):
            first = PreactBlock(width, wider, 1 if stage == 1 else 2, norm)
            layers[f"layer{stage}"] = nn.Sequential(first, PreactBlock(wider, wider, 1, norm))
            width = wider
        layers |= {"norm": norm(width), "relu": nn.ReLU(), "average": nn.AdaptiveAvgPool2d(1)}
        layers |= {"flatten": nn.Flatten(), "fc": nn.Linear(width, classes)}
        network = nn.Sequential(layers)
        check_statistics(network, input_shape)
        return network
