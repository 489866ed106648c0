"""MobileNetV3 (Howard et al. 2019), torchvision's, with a norm for federated learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgesim.models._images import Norm, adapted
from edgesim.models._model import Model
from edgesim.models._papers import MOBILENET_V3
from edgesim.registry import component

if TYPE_CHECKING:
    from torch import nn


@component
class MobileNetV3(Model):
    """Blocks with squeeze-and-excitation: 1 528 106 (small) or 4 214 842 parameters on 3x32x32, 10 classes.

    Below 64 pixels the first convolution has no stride.

    Attributes:
        size: eleven blocks or fifteen.
        norm: `group`, each sample by itself, or `static_batch`, the batch, without running averages.
    """

    papers = (MOBILENET_V3,)

    size: Literal["small", "large"] = "small"
    norm: Norm = "group"

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network, its modules named as torchvision names them; see `Model.build`."""
        from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

        make = {"small": mobilenet_v3_small, "large": mobilenet_v3_large}[self.size]
        return adapted(make, "features.0.0", self.norm, input_shape, classes)
