"""ResNet-18 (He et al. 2016), torchvision's, with a stem for small images and a norm for federated learning.

Running averages of batch norm do not survive the averaging of clients. `group` normalises each sample alone,
in two groups per layer (Reddi et al., Adaptive Federated Optimization, 2021); `static_batch` is HeteroFL's
static batch norm (Diao et al. 2021; algorithms 3.8), which uses the statistics of the batch and keeps none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from edgesim.errors import InputError, Problem
from edgesim.models._model import Model
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn

GROUPS = 2
LARGE = 64  # pixels of the shorter side from which on the stem is ImageNet's


@component
class ResNet18(Model):
    """Eight residual blocks (64, 128, 256, 512): 11 173 962 parameters on 3x32x32, 10 classes.

    Below 64 pixels the stem is one 3x3 convolution, from there on ImageNet's 7x7 with stride 2 and pooling.
    It has as many channels as the images, so that grey ones need not be repeated.

    Attributes:
        norm: see above.
    """

    norm: Literal["group", "static_batch"] = "group"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its modules named as torchvision names them; see `Model.build`."""
        from torch import nn
        from torchvision.models import resnet18

        self._check(input_shape)
        norm_layer: dict[str, Any] = {
            "group": partial(nn.GroupNorm, GROUPS),
            "static_batch": partial(nn.BatchNorm2d, momentum=None, track_running_stats=False),
        }
        network: nn.Module = resnet18(num_classes=classes, norm_layer=norm_layer[self.norm])
        channels, *sides = input_shape
        large = min(sides) >= LARGE
        kernel, stride = (7, 2) if large else (3, 1)
        network.conv1 = nn.Conv2d(channels, 64, kernel, stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        if not large:
            network.maxpool = nn.Identity()
        return network

    def _check(self, input_shape: tuple[int, ...]) -> None:
        if len(input_shape) != 3:
            message = f"needs images [channels, height, width], got samples of shape {input_shape}"
            raise InputError(Problem(message, path="model"))
        # The last maps are an eighth of the image, rounded up.
        if self.norm == "static_batch" and max(input_shape[1:]) <= 8:
            message = (
                f"is static_batch, but images of shape {input_shape} end in maps of one pixel, over which a "
                "batch of one sample has no statistics; use norm: group"
            )
            raise InputError(Problem(message, path="model.norm"))
