"""ResNet-18 (He et al. 2016), torchvision's, with a norm for federated learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.models._images import LARGE, Norm, check_statistics, fit_stem, norm_layer
from edgesim.models._model import Model, image_shape
from edgesim.models._papers import RESNET
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class ResNet18(Model):
    """Eight residual blocks (64, 128, 256, 512): 11 173 962 parameters on 3x32x32, 10 classes.

    Below 64 pixels the stem is one 3x3 convolution, from there on ImageNet's 7x7 with stride 2 and pooling.

    Attributes:
        norm: `group`, each sample by itself, or `static_batch`, the batch, without running averages.
    """

    papers = (RESNET,)

    norm: Norm = "group"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its modules named as torchvision names them; see `Model.build`."""
        from torch import nn
        from torchvision.models import resnet18

        shape = image_shape(input_shape)
        network: nn.Module = resnet18(num_classes=classes, norm_layer=norm_layer(self.norm))
        fit_stem(network, "conv1", shape, kernel=3)
        if min(shape[1:]) < LARGE:
            network.maxpool = nn.Identity()
        check_statistics(network, shape)
        return network
